use crate::{
    registry::{error::DeclareError, name, subsystem::Subsystem},
    state::Role,
};

/// The changes of one reconfiguration; see
/// [`Readiness::reconfigure`](crate::Readiness::reconfigure).
#[derive(Debug, Default)]
pub struct Reconfiguration {
    pub(super) changes: Vec<Change>,
    pub(super) allows_empty: bool,
}

#[derive(Debug)]
pub(super) enum Change {
    Add(Box<Subsystem>),
    Remove(String),
    Role {
        name: String,
        role: Role,
        vital: bool,
    },
    Join {
        scope: String,
        member: String,
    },
    Leave {
        scope: String,
        member: String,
    },
}

impl Reconfiguration {
    /// Adds a subsystem. A name that this plan has removed before is free again.
    pub fn add(&mut self, subsystem: Subsystem) -> &mut Self {
        self.note(Change::Add(Box::new(subsystem)))
    }

    /// Removes a subsystem from the verdicts, its scopes and every output. A
    /// [group](crate::Group) cannot be removed.
    pub fn remove(&mut self, name: impl Into<String>) -> &mut Self {
        self.note(Change::Remove(name.into()))
    }

    /// Sets the role of a subsystem, which is no longer [vital](Self::vital).
    pub fn role(&mut self, name: impl Into<String>, role: Role) -> &mut Self {
        let (name, vital) = (name.into(), false);
        self.note(Change::Role { name, role, vital })
    }

    /// Makes a subsystem required and [vital](Subsystem::vital).
    pub fn vital(&mut self, name: impl Into<String>) -> &mut Self {
        let (name, role, vital) = (name.into(), Role::Required, true);
        self.note(Change::Role { name, role, vital })
    }

    /// Makes a subsystem a member of a scope. A member that is down closes the gates of the
    /// scope at once.
    pub fn add_to_scope(
        &mut self,
        scope: impl Into<String>,
        member: impl Into<String>,
    ) -> &mut Self {
        let (scope, member) = (scope.into(), member.into());
        self.note(Change::Join { scope, member })
    }

    /// Removes a subsystem from a scope.
    pub fn remove_from_scope(
        &mut self,
        scope: impl Into<String>,
        member: impl Into<String>,
    ) -> &mut Self {
        let (scope, member) = (scope.into(), member.into());
        self.note(Change::Leave { scope, member })
    }

    /// Allows that no subsystem is required afterwards. Without it, that is an error, unless
    /// the [builder](crate::Builder::allow_empty) has allowed it.
    pub fn allow_empty(&mut self) -> &mut Self {
        self.allows_empty = true;
        self
    }

    fn note(&mut self, change: Change) -> &mut Self {
        self.changes.push(change);
        self
    }

    /// Checks the names and the settings, which do not depend on the registry.
    pub(super) fn validate(&self) -> Result<(), DeclareError> {
        self.changes.iter().try_for_each(|change| match change {
            Change::Add(subsystem) => {
                name::check_declared(&subsystem.name)?;
                subsystem.validate()
            }
            // So that the subsystems of the crate itself stay as they are.
            Change::Remove(name)
            | Change::Role { name, .. }
            | Change::Join { member: name, .. }
            | Change::Leave { member: name, .. } => name::check_declared(name),
        })
    }
}
