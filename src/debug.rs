//! `Debug` of types with fields that print nothing useful, such as futures and closures.

/// Implements `Debug` with the named values alone:
/// `crate::debug::fields!(Scope, |this| { name: this.name(), });`
macro_rules! fields {
    ($type:ident $(<$($param:ident),+>)? $(, |$this:ident| { $($name:ident: $value:expr,)+ })?) => {
        impl $(<$($param),+>)? std::fmt::Debug for $type $(<$($param),+>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                #[allow(unused_mut)]
                let mut debug = f.debug_struct(stringify!($type));
                $(
                    let $this = self;
                    $(debug.field(stringify!($name), &$value);)+
                )?
                debug.finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use fields;
