use std::fmt;

/// A part of the members of a [group](crate::Group).
///
/// A number with a decimal point is a share, and a `usize` a number of members:
///
/// ```
/// use tower_readiness::Quorum;
///
/// assert_eq!(Quorum::from(0.9), Quorum::Share(0.9));
/// assert_eq!(Quorum::from(3_usize), Quorum::Members(3));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Quorum {
    /// A share of the members, from 0 to 1.
    Share(f64),
    /// A number of members, at most a million.
    Members(usize),
}

impl From<f64> for Quorum {
    fn from(share: f64) -> Self {
        Self::Share(share)
    }
}

impl From<usize> for Quorum {
    fn from(members: usize) -> Self {
        Self::Members(members)
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(f, "{share}"),
            Self::Members(members) => write!(f, "{members} members"),
        }
    }
}

impl Quorum {
    /// How many of `total` members this is, rounded up.
    pub(super) fn of(self, total: usize) -> usize {
        match self {
            // Products such as 0.07 * 100 exceed the whole number slightly.
            Self::Share(share) => (share * total as f64 - 1e-6).ceil() as usize,
            Self::Members(members) => members,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up_once() {
        assert_eq!(Quorum::Share(0.07).of(100), 7);
        assert_eq!(Quorum::Share(0.5).of(3), 2);
        assert_eq!(Quorum::Share(1.0).of(1_000_000), 1_000_000);
        assert_eq!(Quorum::Share(0.0).of(5), 0);
    }
}
