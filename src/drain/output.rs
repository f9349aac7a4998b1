/// The output of a server that [`Readiness::run`](crate::Readiness::run) may
/// drop before it has ended.
///
/// Implemented for `()`, for a [`Result`] whose value is an output itself, for
/// any [`Option`], and for tuples of outputs, as `tokio::join!` returns them.
/// This covers axum, tonic and accept loops. Run a server with another output as
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
    message = "a server that returns `{Self}` cannot be dropped before it has ended",
    label = "`run` needs an output of type `()`, `Result<(), E>` or `Option<T>`",
    note = "run `async {{ Some(server.await) }}`: the output is then `None` if the server was dropped"
)]
pub trait ServerOutput {
    /// The output that `run` returns in place of a dropped server's.
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
