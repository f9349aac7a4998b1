#[cfg(unix)]
use std::path::{Path, PathBuf};
use std::{fmt, net::SocketAddr, str::FromStr};
use thiserror::Error;

/// The address that the admin listener binds and a client connects to:
/// `127.0.0.1:28080`, the default, or another socket address; `:28080` or
/// `28080`, a port on all addresses of the machine; `/run/app.sock` or
/// `unix:app.sock`, a unix socket.
///
/// The modules `client` and `server` export the same type.
///
/// ```
/// # #[cfg(feature = "client")]
/// use tower_readiness::client::{Address, AddressError};
/// # #[cfg(not(feature = "client"))]
/// # use tower_readiness::server::{Address, AddressError};
///
/// # fn main() -> Result<(), AddressError> {
/// let address: Address = "[::1]:28080".parse()?;
/// assert_eq!(address.to_string(), "[::1]:28080");
/// # #[cfg(unix)]
/// assert_eq!(Address::try_from("/run/app.sock")?.to_string(), "unix:/run/app.sock");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a port; for port 0 the kernel chooses a free port.
    Tcp(SocketAddr),
    /// A port alone. The admin listener listens on all addresses of the
    /// machine, IPv4 and IPv6 (or IPv4 alone, where the system has no IPv6). A
    /// client connects to `127.0.0.1`, and to `::1` if that refuses.
    Port(u16),
    /// The path of a unix socket.
    #[cfg(unix)]
    Unix(PathBuf),
}

impl Address {
    /// The default port of the admin listener.
    pub const PORT: u16 = 28080;

    /// Returns the IP address and port, or `None` for a port alone and for a
    /// unix socket. (The `local_addr` of an admin listener is never a port
    /// alone.)
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Port(_) => None,
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }

    /// Returns whether only processes on this machine can connect. (The
    /// containers of a pod share one loopback interface.)
    #[cfg(feature = "server")]
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Port(_) => false,
            #[cfg(unix)]
            Self::Unix(_) => true,
        }
    }
}

impl Default for Address {
    fn default() -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], Self::PORT)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Port(port) => write!(f, ":{port}"),
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

#[cfg(unix)]
impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

#[cfg(unix)]
impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Self::Unix(path.to_owned())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let path = match text.strip_prefix("unix:") {
            Some(path) => Some(path),
            None => text.starts_with('/').then_some(text),
        };
        match path {
            // Linux reads a path that begins with NUL as an abstract name.
            Some(path) if path.is_empty() || path.contains('\0') => {
                Err(AddressError::malformed(text))
            }
            #[cfg(unix)]
            Some(path) => Ok(Self::Unix(path.into())),
            #[cfg(not(unix))]
            Some(_) => Err(AddressError::NoUnixSockets {
                address: text.to_owned(),
            }),
            None => match (text.parse(), port(text)) {
                (Ok(address), _) => Ok(Self::Tcp(address)),
                (_, Some(port)) => Ok(Self::Port(port)),
                _ => Err(AddressError::malformed(text)),
            },
        }
    }
}

/// Parses a port, with or without a leading colon.
fn port(text: &str) -> Option<u16> {
    let digits = text.strip_prefix(':').unwrap_or(text);
    // `parse` alone would accept a sign.
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

impl TryFrom<&str> for Address {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<&String> for Address {
    type Error = AddressError;

    fn try_from(text: &String) -> Result<Self, AddressError> {
        text.parse()
    }
}

/// Why a text is not an [`Address`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is neither an IP address with a port, nor a port, nor a path. A
    /// host name is malformed too: addresses are not resolved.
    #[error("the address is {address:?}; give IP:PORT (no host name), :PORT or unix:PATH")]
    Malformed {
        /// The text.
        address: String,
    },
    /// The text names a unix socket, which this system does not support.
    #[cfg(not(unix))]
    #[error(
        "the address is {address:?}, and this system has no unix sockets; give IP:PORT or :PORT"
    )]
    NoUnixSockets {
        /// The text.
        address: String,
    },
}

impl AddressError {
    fn malformed(text: &str) -> Self {
        Self::Malformed {
            address: text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_round_trips() {
        for text in [
            "127.0.0.1:28080",
            "[::1]:28080",
            "0.0.0.0:0",
            ":28080",
            ":0",
            #[cfg(unix)]
            "unix:/run/app.sock",
            #[cfg(unix)]
            "unix:app.sock",
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        assert_eq!(Address::default().to_string(), "127.0.0.1:28080");
        assert_eq!(Address::try_from("28080"), Ok(Address::Port(28080)));
        #[cfg(unix)]
        assert_eq!(
            Address::try_from("/run/app.sock"),
            Address::try_from("unix:/run/app.sock")
        );
    }

    #[test]
    fn errors_name_the_malformed_text() {
        for text in [
            "",
            "localhost:28080",
            "127.0.0.1",
            ":",
            "65536",
            ":65536",
            "+1",
            ":-1",
            "*:28080",
            "::28080",
            "::1:28080",
            "127.0.0.1:65536",
            "127.0.0.1:28080/",
            " 127.0.0.1:28080",
            "http://127.0.0.1:28080",
            "unix:",
            "unix:\0abstract",
            "/run/\0",
            "run/app.sock",
        ] {
            let error = Address::try_from(text).unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[cfg(feature = "server")]
    #[test]
    fn loopback_is_local_in_every_notation() {
        let local = |text| Address::try_from(text).unwrap().is_local();
        for text in [
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(local(text), "{text}");
        }
        for text in [
            "0.0.0.0:1",
            "[::]:1",
            ":1",
            "10.0.0.1:1",
            "[::ffff:10.0.0.1]:1",
        ] {
            assert!(!local(text), "{text}");
        }
    }
}
