//! A certificate that ends, and the reports of its subsystem.

use rcgen::{CertificateParams, KeyPair};
use std::{
    error::Error,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer},
};
use tower_readiness::Reporter;

/// The part of its life for which a certificate should be left, so that there is time to
/// renew it.
const RENEW_BEFORE: f64 = 1.0 / 3.0;
/// With less than this part left, clients whose clocks differ refuse the certificate.
const UNUSABLE_BEFORE: f64 = 0.1;

/// A certificate, and the acceptor of TLS that presents it.
#[derive(Clone)]
pub struct Certificate {
    pub acceptor: TlsAcceptor,
    issued: Instant,
    life: Duration,
}

impl Certificate {
    /// Makes a certificate for localhost, signed by itself. A real application would
    /// read it from a file, or ask an ACME server for it.
    pub fn issue(life: Duration) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let now = SystemTime::now();
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.not_before = now.into();
        params.not_after = (now + life).into();
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;

        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())?;
        // A client chooses one by ALPN. The server recognizes the protocol by its first
        // bytes.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            issued: Instant::now(),
            life,
        })
    }

    /// When only this part of its life will be left.
    fn until(&self, left: f64) -> Instant {
        self.issued + self.life.mul_f64(1.0 - left)
    }
}

/// Reports the state of the newest certificate, until the sender of certificates is gone.
pub async fn report(mut newest: watch::Receiver<Certificate>, reporter: Reporter) {
    loop {
        let certificate = newest.borrow_and_update().clone();
        let ends = async {
            reporter.ready();
            sleep_until(certificate.until(RENEW_BEFORE)).await;
            reporter.degraded("two thirds of the certificate's life are over: renew it");
            sleep_until(certificate.until(UNUSABLE_BEFORE)).await;
            reporter.failing("the certificate has ended, or is about to");
            std::future::pending().await
        };
        tokio::select! {
            () = ends => {}
            renewed = newest.changed() => if renewed.is_err() {
                return;
            },
        }
    }
}
