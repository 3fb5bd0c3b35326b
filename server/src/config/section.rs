//! One section of the configuration: a struct whose documentation is also the text of
//! `starling config`, so that the two cannot drift apart.

/// Name of a field and the lines of its documentation.
pub(super) type Field = (&'static str, &'static [&'static str]);

/// A section that knows its own text.
pub(super) trait Documented {
    /// What the section is for.
    const ABOUT: &'static [&'static str];
    /// Every field in order.
    const FIELDS: &'static [Field];
}

/// Declares a section: fields with documentation and default.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])+ pub $field:ident: $ty:ty = $default:expr, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $ty, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $crate::config::section::Documented for $name {
            const ABOUT: &'static [&'static str] = &[$($about),+];
            const FIELDS: &'static [$crate::config::section::Field] =
                &[$( (stringify!($field), &[$($doc),+]), )+];
        }
    };
}
pub(super) use section;
