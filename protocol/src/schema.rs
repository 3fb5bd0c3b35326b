//! Kinds of entity and their typed fields.

use crate::limits::{FIELD_BITS_MAX, FIELDS_MAX, KINDS_MAX, SCHEMA_NAME_BYTES_MAX};
use crate::units::KindId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The kinds of a world, in the order of their [`KindId`]s.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// At most [`KINDS_MAX`].
    pub kinds: Vec<Kind>,
}

/// One kind of entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kind {
    /// Short name: `player`, `bus`.
    pub name: String,
    /// What its orientation is.
    pub orientation: OrientationKind,
    /// At most [`FIELDS_MAX`].
    pub fields: Vec<Field>,
    /// It carries an opaque block, sent whole on change.
    pub block: bool,
}

/// How much orientation a kind has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrientationKind {
    /// None.
    #[default]
    None,
    /// A heading, 8 bits per turn.
    Heading,
    /// Yaw and pitch of a view, 12 and 11 bits.
    Look,
    /// A rotation, smallest three at 10 bits each.
    Quaternion,
}

/// One typed field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Short name: `health`, `occupancy`.
    pub name: String,
    /// Its values.
    pub ty: FieldType,
    /// Who gets it.
    pub visibility: Visibility,
}

/// The values of a field.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum FieldType {
    /// True or false, one bit.
    Bool,
    /// One of so many variants.
    Enum {
        /// At least 1.
        variants: u16,
    },
    /// An unsigned integer of so many bits.
    Bits {
        /// 1 to [`FIELD_BITS_MAX`].
        bits: u8,
    },
    /// A number within a range, rounded to a quantum.
    Ranged {
        /// Least value.
        min: f32,
        /// Greatest value.
        max: f32,
        /// Distance between neighbouring values.
        quantum: f32,
    },
}

/// Who gets a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Visibility {
    /// Everyone who sees the entity.
    #[default]
    All,
    /// Its team.
    Team,
    /// Its owner.
    Owner,
}

/// A field's value at the API.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Of [`FieldType::Bool`].
    Bool(bool),
    /// Of [`FieldType::Enum`] and [`FieldType::Bits`].
    Int(u32),
    /// Of [`FieldType::Ranged`].
    Number(f32),
}

/// What is wrong with a schema or a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// Too many kinds.
    #[error("a schema has at most {KINDS_MAX} kinds")]
    TooManyKinds,
    /// Too many fields.
    #[error("kind `{0}` has more than {FIELDS_MAX} fields")]
    TooManyFields(String),
    /// A name is empty, too long, or used twice.
    #[error("name `{0}` is empty, longer than {SCHEMA_NAME_BYTES_MAX} bytes or used twice")]
    BadName(String),
    /// A field type cannot be coded.
    #[error("field `{0}`: the type needs 1 to {FIELD_BITS_MAX} bits and a finite, rising range")]
    BadType(String),
    /// A value does not fit its field.
    #[error("the value does not fit the field")]
    BadValue,
}

impl FieldType {
    /// Bits of a value on the wire.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Self::Bool => 1,
            Self::Enum { variants } => bits_for(u64::from(variants.max(1)) - 1),
            Self::Bits { bits } => bits,
            Self::Ranged { .. } => bits_for(self.steps()),
        }
    }

    /// The raw form of a value, as the wire carries it.
    ///
    /// # Errors
    /// [`SchemaError::BadValue`] when the value is of another type or out of range.
    pub fn encode(self, value: Value) -> Result<u32, SchemaError> {
        match (self, value) {
            (Self::Bool, Value::Bool(b)) => Ok(u32::from(b)),
            (Self::Enum { .. } | Self::Bits { .. }, Value::Int(v)) if self.allows(v) => Ok(v),
            (Self::Ranged { min, max, quantum }, Value::Number(v)) if v >= min && v <= max => {
                Ok(((f64::from(v) - f64::from(min)) / f64::from(quantum)).round() as u32)
            }
            _ => Err(SchemaError::BadValue),
        }
    }

    /// The value that a raw form stands for.
    #[must_use]
    pub fn decode(self, raw: u32) -> Value {
        match self {
            Self::Bool => Value::Bool(raw != 0),
            Self::Enum { .. } | Self::Bits { .. } => Value::Int(raw),
            Self::Ranged { min, quantum, .. } => {
                Value::Number((f64::from(min) + f64::from(raw) * f64::from(quantum)) as f32)
            }
        }
    }

    /// Is this a raw form that [`FieldType::encode`] could have made?
    #[must_use]
    pub fn allows(self, raw: u32) -> bool {
        match self {
            Self::Bool => raw <= 1,
            Self::Enum { variants } => raw < u32::from(variants),
            Self::Bits { bits } => bits >= 32 || raw < 1 << bits,
            Self::Ranged { .. } => u64::from(raw) <= self.steps(),
        }
    }

    fn steps(self) -> u64 {
        match self {
            Self::Ranged { min, max, quantum } => {
                ((f64::from(max) - f64::from(min)) / f64::from(quantum)).round() as u64
            }
            _ => 0,
        }
    }

    fn is_sound(self) -> bool {
        let sound = match self {
            Self::Bool => true,
            Self::Enum { variants } => variants >= 1,
            Self::Bits { bits } => bits >= 1,
            Self::Ranged { min, max, quantum } => {
                min.is_finite() && max.is_finite() && min < max && quantum > 0.0
            }
        };
        sound && self.bits() <= FIELD_BITS_MAX
    }
}

impl Schema {
    /// The kind with this id.
    #[must_use]
    pub fn kind(&self, id: KindId) -> Option<&Kind> {
        self.kinds.get(usize::from(id.0))
    }

    /// The id of the kind with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<KindId> {
        self.kinds.iter().position(|k| k.name == name).map(|i| KindId(i as u8))
    }

    /// Checks every limit.
    ///
    /// # Errors
    /// The first [`SchemaError`] found.
    pub fn validate(&self) -> Result<(), SchemaError> {
        if self.kinds.len() > KINDS_MAX {
            return Err(SchemaError::TooManyKinds);
        }
        check_names(self.kinds.iter().map(|k| k.name.as_str()))?;
        for kind in &self.kinds {
            if kind.fields.len() > FIELDS_MAX {
                return Err(SchemaError::TooManyFields(kind.name.clone()));
            }
            check_names(kind.fields.iter().map(|f| f.name.as_str()))?;
            if let Some(bad) = kind.fields.iter().find(|f| !f.ty.is_sound()) {
                return Err(SchemaError::BadType(bad.name.clone()));
            }
        }
        Ok(())
    }

    /// FNV-1a (64 bits) of the encoded schema: equal hashes, equal schema.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let bytes = crate::codec::encode(self);
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// One kind `entity` of heading, no fields: what a world gets that declares nothing.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            kinds: vec![Kind {
                name: "entity".into(),
                orientation: OrientationKind::Heading,
                fields: Vec::new(),
                block: false,
            }],
        }
    }
}

fn check_names<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Result<(), SchemaError> {
    for (i, name) in names.clone().enumerate() {
        let fits = (1..=SCHEMA_NAME_BYTES_MAX).contains(&name.len());
        if !fits || names.clone().take(i).any(|other| other == name) {
            return Err(SchemaError::BadName(name.into()));
        }
    }
    Ok(())
}

fn bits_for(greatest: u64) -> u8 {
    (64 - greatest.leading_zeros()).max(1) as u8
}
