/// The output of a server that may be let go of before it has ended; see
/// [`Readiness::run`](crate::Readiness::run).
///
/// Implemented for `()`, for a [`Result`] whose value is an output itself, for
/// an [`Option`] of anything, and for tuples of outputs, as those of
/// `tokio::join!`. So it is for what axum, tonic and an accept loop return. A
/// server that returns something of its own is run as
/// `async { Some(server.await) }`:
///
/// ```
/// # use tower_readiness::{Readiness, Subsystem, drain::ShutdownTimeout};
/// # async fn serve() -> u64 { 17 }
/// # async fn run(readiness: Readiness) -> Result<(), ShutdownTimeout> {
/// match readiness.run(async { Some(serve().await) }).await? {
///     Some(requests) => println!("served {requests} requests"),
///     None => println!("served; some connections were still open"),
/// }
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "a server that returns `{Self}` cannot be let go of before it has ended",
    label = "`run` needs an output of type `()`, `Result<(), E>` or `Option<T>`",
    note = "run `async {{ Some(server.await) }}`: the output is then `None` if the server was let go of"
)]
pub trait ServerOutput {
    /// What a server returns that has ended well, and has nothing more to tell.
    fn let_go() -> Self;
}

impl ServerOutput for () {
    fn let_go() -> Self {}
}

impl<T> ServerOutput for Option<T> {
    fn let_go() -> Self {
        None
    }
}

impl<T: ServerOutput, E> ServerOutput for Result<T, E> {
    fn let_go() -> Self {
        Ok(T::let_go())
    }
}

impl<A: ServerOutput, B: ServerOutput> ServerOutput for (A, B) {
    fn let_go() -> Self {
        (A::let_go(), B::let_go())
    }
}

impl<A: ServerOutput, B: ServerOutput, C: ServerOutput> ServerOutput for (A, B, C) {
    fn let_go() -> Self {
        (A::let_go(), B::let_go(), C::let_go())
    }
}
