//! Configuration: one tree, read from a TOML file, the environment and flags, in rising order of
//! precedence; validated once into [`Settings`].

mod commented;
mod error;
mod keeping;
mod load;
mod namespaces;
mod owner;
mod place;
mod section;
mod settings;
mod tree;
mod worlds;

pub use error::{ConfigError, Origin};
pub use keeping::Keeping;
pub use load::Override;
pub use namespaces::{AccessName, ClassName, DurabilityName, NamespaceEntry};
pub use settings::{
    AuthSettings, Certificate, HttpSettings, Limits, Settings, Templates, TokenSettings,
};
pub use tree::{
    AuthMode, AuthSection, Config, CongestionChoice, DataSection, HttpSection, IoChoice,
    LimitsSection, LogSection, ServerSection, TlsSection, WorldPolicy,
};
pub use worlds::{
    AuthorityName, FieldEntry, KindEntry, OrientationName, ProfileName, SpaceName, VisibleName,
    WorldEntry,
};
