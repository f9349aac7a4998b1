//! The page for browsers: the answer of the status probe as HTML.
//!
//! The document is complete without its script: it shows the state at the moment of the
//! request, and reloads itself. The script replaces that by the events of the process.
//! Both show the same [`JsonAnswer`](crate::wire::JsonAnswer), and compute no verdict.

mod document;
mod escape;
mod sections;

pub(crate) use self::document::render;

/// The policy that a browser enforces for the document (Content Security Policy level 3):
/// it runs this script and uses this style, connects to the process alone, and no site
/// can frame it. The hashes are those of `page.css` and `page.js`; the icon is a `data:`
/// URL.
pub(crate) const POLICY: &str = "default-src 'none'; \
    script-src 'sha256-H+sC3xiIP5KbfRRF4S2xGnKUe9MZhP2IUoYqsn/110A='; \
    style-src 'sha256-PFf4IOoHlPZHoptjwCTYw/V7YcTWzLzFQ9iZQSsHfWc='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests;
