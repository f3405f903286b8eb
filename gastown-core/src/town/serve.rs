//! A town behind its socket.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use serde_json::Value as Json;

use super::handle::Handle;
use super::table::operations;
use super::town::{Shared, Town};
use crate::model::{Capability, Error, Result, Scope};
use crate::socket::message::Principal;
use crate::socket::{Caller, Listening, Service, SocketOptions, socket_path};

/// A town that does not stay open for its socket.
struct Door(Weak<Shared>);

/// Who came in. It does not keep the town open either.
struct Guest {
    shared: Weak<Shared>,
    capability: Capability,
    principal: Principal,
}

fn town(shared: &Weak<Shared>) -> Result<Town> {
    let shared = shared.upgrade().ok_or_else(|| Error::unavailable("store_closed", "the town is closed"))?;
    Ok(Town { shared })
}

#[async_trait]
impl Service for Door {
    async fn admit(&self, token: &str) -> Result<Arc<dyn Caller>> {
        let handle = town(&self.0)?.with_token(token).await?;
        let capability = handle.capability().cloned();
        let capability = capability.ok_or_else(|| Error::internal("capability_lost", "a token gave no capability"))?;
        Ok(Arc::new(Guest { shared: self.0.clone(), capability, principal: principal(&handle) }))
    }
}

#[async_trait]
impl Caller for Guest {
    fn principal(&self) -> Principal {
        self.principal.clone()
    }

    fn holder(&self) -> String {
        let Capability { id, chain, .. } = &self.capability;
        chain.first().unwrap_or(id).to_string()
    }

    async fn call(&self, operation: &str, input: Json, key: Option<String>) -> Result<Json> {
        let handle = Handle::with_capability(town(&self.shared)?, self.capability.clone());
        match key {
            Some(key) => handle.with_key(key).call(operation, input).await,
            None => handle.call(operation, input).await,
        }
    }
}

fn principal(handle: &Handle) -> Principal {
    let scope = handle.scope();
    let verbs = operations().iter().filter(|operation| handle.check(operation).is_ok());
    let verbs = verbs.map(|operation| operation.name.to_owned()).collect();
    let mut principal = Principal::new(handle.town().id().as_str(), scope.principal(), verbs);
    principal.rig = scope.rig().map(ToString::to_string);
    if let Scope::Agent { session, bead, .. } = scope {
        (principal.session, principal.bead) = (Some(session.to_string()), Some(bead.to_string()));
    }
    principal
}

impl Town {
    /// Opens the town's socket, by which other processes of this user call it with tokens; see [`crate::socket`].
    ///
    /// [`Town::start`] does it as well. It is served by tasks of the current tokio runtime until [`Town::stop`]. Nothing
    /// happens where it is open already.
    ///
    /// # Errors
    /// `socket_taken` while another process has it, `socket_unusable`, `socket_exposed`.
    pub async fn serve(&self) -> Result<()> {
        self.serve_with(SocketOptions::default()).await
    }

    /// The same with other bounds.
    ///
    /// # Errors
    /// As [`Town::serve`].
    pub async fn serve_with(&self, options: SocketOptions) -> Result<()> {
        self.open_socket(options).await.map(|_| ())
    }

    /// Opens the socket where it is not; says whether it did.
    async fn open_socket(&self, options: SocketOptions) -> Result<bool> {
        let mut socket = self.shared.socket.lock().await;
        if socket.as_ref().is_none_or(|socket| !socket.is_open()) {
            // What is left of one whose tokio runtime is gone has the lock.
            *socket = None;
            let door = Door(Arc::downgrade(&self.shared));
            *socket = Some(Listening::open(&socket_path(self.dir()), Arc::new(door), options)?);
            return Ok(true);
        }
        Ok(false)
    }

    /// Opens the socket for the engine's agents, and says whether it did. Another process that has it serves them as well.
    #[cfg(feature = "git")]
    pub(super) async fn serve_agents(&self) -> Result<bool> {
        match self.open_socket(SocketOptions::default()).await {
            Err(error) if error.code() == "socket_taken" => {
                tracing::info!(%error, "agents call the town by the socket of another process");
                Ok(false)
            }
            served => served,
        }
    }

    /// Closes the socket.
    pub(super) async fn stop_serving(&self) {
        if let Some(socket) = self.shared.socket.lock().await.take() {
            socket.close().await;
        }
    }
}
