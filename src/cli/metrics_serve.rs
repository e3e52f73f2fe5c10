//! `metrics serve`: answers Prometheus until Ctrl-C or a termination signal.

use std::net::SocketAddr;
use std::sync::Arc;

use super::exit::{CliError, Exit};
use super::session::CliSession;
use super::stopping::wait_for_end;
use crate::infrastructure::metrics_server::MetricsServer;
use crate::metrics::exposition::Detail;

/// Serves until it is told to end, which is no failure.
pub(super) fn run(
    session: &CliSession,
    address: SocketAddr,
    detail: Detail,
) -> Result<Exit, CliError> {
    let server = start(session, address, detail)?;
    session.say(&format!(
        "serving http://{}/metrics; Ctrl-C ends it",
        server.address()
    ));
    wait_for_end()?;
    Ok(Exit::Done)
}

/// Starts to serve what is kept in the data directory.
pub(super) fn start(
    session: &CliSession,
    address: SocketAddr,
    detail: Detail,
) -> Result<MetricsServer, CliError> {
    if !address.ip().is_loopback() {
        tracing::warn!(
            "{address} can be reached from elsewhere: whoever reaches it can read the figures"
        );
    }
    let page = session.app.metrics_page(detail, session.events());
    MetricsServer::start(address, Arc::new(page)).map_err(|error| {
        CliError::new(Exit::Usage, format!("cannot listen on {address}: {error}"))
            .with_hint("name another address or a free port")
    })
}
