//! From options to a bound endpoint of quinn's.

use super::super::setup::{self, Setup};
use super::{ServerError, ServerOptions};
use quinn::{Endpoint, TokioRuntime};
use std::sync::Arc;

/// Binds the socket and starts the endpoint's own task on the current runtime.
pub(super) fn endpoint(options: &ServerOptions) -> Result<Endpoint, ServerError> {
    let address = options.listen;
    let socket = setup::socket(address).map_err(|source| ServerError::of(address, source))?;
    let Setup { endpoint, server, .. } = Setup::new(options, &setup::secret(options), 0);
    Endpoint::new(endpoint, Some(server), socket.into(), Arc::new(TokioRuntime))
        .map_err(|source| ServerError::Bind { address, source })
}
