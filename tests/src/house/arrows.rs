//! Who may depend on whom: the table of ARCHITECTURE.md.

use super::Breach;
use cargo_metadata::{Dependency, DependencyKind, Package};

/// A package of ours and those of ours that it may import.
pub type Arrow = (&'static str, &'static [&'static str]);

/// The import arrows. `starling-tests` and `starling-benches` may import all.
pub const ARROWS: &[Arrow] = &[
    ("starling-protocol", &[]),
    ("starling-world", &["starling-protocol"]),
    ("starling-transport", &["starling-protocol"]),
    ("starling-client", &["starling-protocol", "starling-transport"]),
    ("starling-server", &["starling-protocol", "starling-world", "starling-transport"]),
    ("starling-client-sim", &["starling-protocol", "starling-client", "starling-transport"]),
    (
        "starling",
        &[
            "starling-server",
            "starling-client-sim",
            "starling-client",
            "starling-transport",
            "starling-world",
            "starling-protocol",
        ],
    ),
];

const FREE: &[&str] = &["starling-tests", "starling-benches"];

/// A library of others and the only packages of ours that may depend on it.
const HOMES: &[(&str, &[&str])] = &[
    ("bincode", &["starling-protocol"]),
    ("redb", &["starling-server"]),
    ("rstar", &[]),
    ("quinn", &["starling-transport"]),
    ("quinn-proto", &["starling-transport"]),
    ("quinn-udp", &["starling-transport"]),
];

/// What a package imports, as far as the rules care.
#[derive(Clone, Debug)]
pub struct Imports {
    /// Name of the package.
    pub package: String,
    /// Its dependencies outside tests: name, and whether it is optional.
    pub dependencies: Vec<(String, bool)>,
    /// Its features and what each turns on.
    pub features: Vec<(String, Vec<String>)>,
}

impl From<&Package> for Imports {
    fn from(package: &Package) -> Self {
        let ships = |d: &&Dependency| d.kind != DependencyKind::Development;
        let shipped = package.dependencies.iter().filter(ships);
        Self {
            package: package.name.to_string(),
            dependencies: shipped.map(|d| (d.name.clone(), d.optional)).collect(),
            features: package.features.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }
}

/// Dependencies that point against the arrows, and packages that the table does not know.
#[must_use]
pub fn check(packages: &[Imports]) -> Vec<Breach> {
    packages
        .iter()
        .flat_map(|package| [wrong_way(package), away_from_home(package)])
        .flatten()
        .collect()
}

fn wrong_way(imports: &Imports) -> Vec<Breach> {
    if FREE.contains(&imports.package.as_str()) {
        return Vec::new();
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == imports.package) else {
        return vec![Breach::at(&imports.package, 0, "is not in the table of imports")];
    };
    let ours = imports.dependencies.iter().filter(|(name, _)| name.starts_with("starling"));
    ours.filter(|(name, _)| !allowed.contains(&name.as_str()))
        .map(|(name, _)| Breach::at(&imports.package, 0, format!("may not import {name}")))
        .collect()
}

fn away_from_home(imports: &Imports) -> Vec<Breach> {
    if FREE.contains(&imports.package.as_str()) {
        return Vec::new();
    }
    let homes = HOMES.iter().filter(|(_, homes)| !homes.contains(&imports.package.as_str()));
    homes
        .filter(|(library, _)| imports.dependencies.iter().any(|(name, _)| name == library))
        .map(|(library, _)| Breach::at(&imports.package, 0, format!("may not depend on {library}")))
        .collect()
}

/// The client reaches the network only through its feature `net`, so that it builds for wasm.
#[must_use]
pub fn check_client(client: &Imports) -> Vec<Breach> {
    let transport = client.dependencies.iter().find(|(name, _)| name == "starling-transport");
    let mut breaches = Vec::new();
    if transport.is_some_and(|(_, optional)| !optional) {
        breaches.push(Breach::at(&client.package, 0, "imports transport without the feature net"));
    }
    for (feature, turns_on) in &client.features {
        let opens = turns_on.iter().any(|what| what.contains("starling-transport"));
        let same_name = feature == "starling-transport";
        if opens && feature != "net" && !same_name {
            breaches.push(Breach::at(&client.package, 0, format!("{feature} opens the network")));
        }
    }
    breaches
}
