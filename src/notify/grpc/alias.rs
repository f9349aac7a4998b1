use super::status;
use crate::{
    registry::{NameError, Registry, check_name},
    state::text::{listed_names, shown_name},
};
use std::{collections::BTreeMap, sync::Arc};
use thiserror::Error;

/// Why an alias of a [`GrpcHealth`](super::GrpcHealth) is invalid.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AliasError {
    /// The alias is not a valid name.
    #[error("the alias {alias:?} is invalid")]
    Name {
        /// The alias, cut to 128 bytes.
        alias: String,
        /// Why it is invalid.
        source: NameError,
    },
    /// A scope, a subsystem or another alias has this name.
    #[error("the alias {alias:?} is a scope, a subsystem or an alias already; choose another name")]
    Duplicate {
        /// The alias.
        alias: String,
    },
    /// The alias stands for a service that does not exist.
    #[error("the alias {alias:?} stands for {service:?}, which is unknown; there are: {known}")]
    Unknown {
        /// The alias.
        alias: String,
        /// The service for which it stands.
        service: String,
        /// The names of the first services.
        known: String,
    },
}

/// Further names of services.
#[derive(Clone, Debug, Default)]
pub(super) struct Aliases(Arc<BTreeMap<String, String>>);

impl Aliases {
    pub(super) fn check(
        registry: &Registry,
        given: Vec<(String, String)>,
    ) -> Result<Self, AliasError> {
        registry.read(|data| {
            let mut aliases = BTreeMap::new();
            for (alias, service) in given {
                if let Err(source) = check_name(&alias) {
                    let alias = shown_name(&alias);
                    return Err(AliasError::Name { alias, source });
                }
                if status::by_name(data, &alias).is_some() || aliases.contains_key(&alias) {
                    return Err(AliasError::Duplicate { alias });
                }
                if status::by_name(data, &service).is_none() {
                    return Err(AliasError::Unknown {
                        alias,
                        service: shown_name(&service),
                        known: listed_names(status::all(data).map(|(service, _)| service)),
                    });
                }
                aliases.insert(alias, service);
            }
            Ok(Self(Arc::new(aliases)))
        })
    }

    /// Returns the service for which a name stands.
    pub(super) fn resolve<'n>(&'n self, name: &'n str) -> &'n str {
        self.0.get(name).map_or(name, String::as_str)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let aliases = self.0.iter();
        aliases.map(|(alias, service)| (alias.as_str(), service.as_str()))
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}
