use super::SubsystemView;
use std::{collections::BTreeMap, sync::Arc};

/// The most attributes of one subsystem.
const MOST: usize = 32;

/// There is no room for another attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl SubsystemView {
    /// Returns the attributes its reporter set, by key.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes
            .iter()
            .flat_map(|map| map.iter())
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Returns one attribute, or `None` if it is not set.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.as_ref()?.get(key).map(String::as_str)
    }

    /// The view with this attribute, or `None` if it has the same value
    /// already.
    pub(crate) fn with_attribute(&self, key: &str, value: &str) -> Result<Option<Self>, TooMany> {
        let count = self.attributes.as_ref().map_or(0, |map| map.len());
        match self.attribute(key) {
            Some(present) if present == value => Ok(None),
            None if count >= MOST => Err(TooMany),
            _ => Ok(Some(self.change_attributes(|map| {
                map.insert(key.to_owned(), value.to_owned());
            }))),
        }
    }

    /// The view with these attributes, or `None` if it has them already. The error is the
    /// first key without room.
    pub(crate) fn with_attributes<'a>(
        &self,
        attributes: &'a [(String, String)],
    ) -> Result<Option<Self>, &'a str> {
        attributes
            .iter()
            .try_fold(None, |next: Option<Self>, (key, value)| {
                let view = next.as_ref().unwrap_or(self);
                let changed = view.with_attribute(key, value);
                let changed = changed.map_err(|TooMany| &**key)?;
                Ok(changed.or(next))
            })
    }

    /// The view without this attribute, or `None` if it does not have it.
    pub(crate) fn without_attribute(&self, key: &str) -> Option<Self> {
        self.attribute(key)?;
        Some(self.change_attributes(|map| {
            map.remove(key);
        }))
    }

    fn change_attributes(&self, change: impl FnOnce(&mut BTreeMap<String, String>)) -> Self {
        let mut attributes = self.attributes.as_deref().cloned().unwrap_or_default();
        change(&mut attributes);
        Self {
            attributes: (!attributes.is_empty()).then(|| Arc::new(attributes)),
            ..self.clone()
        }
    }
}
