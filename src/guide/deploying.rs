//! How each runtime reads the one state: which probe goes where, and which numbers
//! go with it.
//!
//! The files are complete and work as they are. They are in
//! [`examples/deploy`](https://docs.rs/crate/tower-readiness/latest/source/examples/deploy/),
//! beside the service that they deploy. `tests/e2e/deploy_files` has each file read
//! by the program it is written for; `tests/e2e/proxies`, `tests/e2e/docker` and
//! `tests/e2e/systemd` run them.
//!
//! # Which runtime asks which question
//!
//! A runtime asks one of three questions. Its reaction to *no* decides which
//! question it may ask:
//!
//! | question | asked by | reaction to *no* |
//! |---|---|---|
//! | has it started? `/startupz` | Kubernetes' startup probe; systemd, which waits for `READY=1`; Compose, by `service_healthy` | dependants wait; after the last attempt the runtime gives up |
//! | shall it get traffic? `/readyz` | readiness probes; HAProxy, Envoy, ALB, NLB; Nomad's and Consul's checks | the process gets no traffic |
//! | is it worth keeping? `/livez` | liveness probes; systemd's watchdog; Nomad's `check_restart` | the runtime kills and restarts the process |
//!
//! Never let a runtime that restarts processes ask for readiness. A draining
//! process is not ready, and neither is a process without its database. Killing it
//! loses the requests in flight, or restarts the whole fleet because a dependency
//! is down.
//!
//! A container has one health bit, and Docker's Swarm and ECS replace an unhealthy
//! container. So a health check *command* asks whether the process has started and,
//! after that, whether it is alive. `readiness check` (feature `cli`) and the
//! `client` module (feature `client`) do so by default.
//!
//! # The sum
//!
//! Two times have to fit into a third wherever a runtime ends a process:
//!
//! > delay + longest request < time until SIGKILL
//!
//! and the delay has to be longer than the slowest reader of `/readyz` takes to
//! notice. [Graceful shutdown](super::graceful_shutdown) has the table; the files
//! choose:
//!
//! | | notices after | delay | in flight | until SIGKILL |
//! |---|---|---|---|---|
//! | Kubernetes | 1 to 2 s (the endpoint's removal); 3 s (the probe) | 5 s | 20 s | 30 s, `terminationGracePeriodSeconds` |
//! | Nomad | 3 s | 5 s | 20 s | 28 s, `kill_timeout` (default 5 s!) |
//! | Docker | depends on the sender of the traffic | 4 s | 5 s | 10 s, `docker stop -t` |
//! | Compose, with time | | 5 s | 20 s | 30 s, `stop_grace_period` |
//! | systemd, with a socket | at once: the socket stays | 0.5 s | 20 s | 30 s, `TimeoutStopSec` |
//!
//! # Kubernetes
//!
//! Three probes and no preStop hook. Liveness and readiness wait for the first
//! success of the startup probe, so a slow start gets no process killed. One
//! failure of the readiness probe is enough, because the answer is a report and not
//! a measurement. Give a subsystem whose short failures shall not count a
//! [hold-down](crate::Subsystem::hold_down).
//!
//! The port is bound as `[::]:3000`, which on Linux accepts IPv4 as well:
//! `0.0.0.0:3000` is not reached in an IPv6-only cluster. (Where
//! `net.ipv6.bindv6only` is 1, `[::]` accepts IPv6 alone. Where the kernel was
//! started with `ipv6.disable=1`, binding `[::]` fails, and `0.0.0.0:3000` is
//! right.)
//!
//! Where all endpoints may terminate at the same time (the strategy `Recreate`, one
//! replica, one pod on a node with `externalTrafficPolicy: Local`), kube-proxy sends
//! to terminating pods from Kubernetes 1.26 on, but only to those whose readiness
//! probe is green (KEP-1669). A drain turns readiness red at once. There, use a
//! preStop hook that sleeps, and a delay of zero: readiness stays green until the
//! hook has ended.
//!
//! kube-proxy moves new connections, and leaves open ones with their pod. While a pod
//! fails, the gate refuses each request on a connection that a client keeps, although
//! the endpoint is gone; a client of HTTP/2 or with a pool should close a connection
//! on which it receives `x-readiness`. A drain asks HTTP/1 clients to reconnect.
//!
//! A preStop hook may be `readiness drain --wait --addr unix:/run/app/own/admin.sock`.
//! The admin listener refuses commands in an `emptyDir` itself, which every user may
//! write to. The deploy example creates the folder of its socket below it.
//!
//! A container that was killed has left no log line that says why. The deploy example
//! keeps an explanation in `/dev/termination-log` (feature `termination`), which
//! `kubectl describe pod` shows after the restart; see
//! [`Readiness::termination_message`](crate::Readiness::termination_message).
//!
//! The files set no `readinessGates`: a readiness gate is a condition that a
//! controller outside the pod sets. The process does not see it, so its own probes
//! say green while the pod is not Ready, and while that controller is down no pod
//! becomes ready.
//!
//! <details><summary>kubernetes/deployment.yaml</summary>
//!
//! ```yaml
#![doc = include_str!("../../examples/deploy/kubernetes/deployment.yaml")]
//! ```
//!
//! </details>
//!
//! A **gRPC server** is probed by gRPC (feature `grpc`). The services are called
//! `startup`, `readiness` and `liveness`. A probe without a service name asks for
//! readiness, so the liveness probe has to set its name.
//!
//! <details><summary>kubernetes/grpc-probes.yaml</summary>
//!
//! ```yaml
#![doc = include_str!("../../examples/deploy/kubernetes/grpc-probes.yaml")]
//! ```
//!
//! </details>
//!
//! A gRPC client that checks health itself asks for the name of the service that it calls.
//! [`GrpcHealthBuilder::alias`](crate::notify::grpc::GrpcHealthBuilder::alias) gives a scope
//! that name.
//!
//! **A port that requires client certificates** cannot be probed, because a kubelet
//! has none. The admin listener (feature `server`) answers instead. A kubelet
//! connects to the address of the pod, so give the listener a port alone, `:28080`,
//! which listens on all addresses, of IPv4 and IPv6. There it shows names without
//! reasons, and no Service exposes the port.
//!
//! <details><summary>kubernetes/admin-port.yaml</summary>
//!
//! ```yaml
#![doc = include_str!("../../examples/deploy/kubernetes/admin-port.yaml")]
//! ```
//!
//! </details>
//!
//! # Docker, Compose and Swarm
//!
//! Failures within the start period do not count, and the first success ends it.
//! The container stays healthy while a dependency fails and while the process
//! drains. It is unhealthy when a [vital](crate::Subsystem::vital) subsystem is
//! dead; `docker inspect` shows which, and why. Compose starts the dependent
//! services once the container is healthy, and does not react if it turns unhealthy
//! later. Swarm replaces the task; let it start the new one first (`update_config:
//! { order: start-first }`).
//!
//! <details><summary>docker/Dockerfile</summary>
//!
//! ```dockerfile
#![doc = include_str!("../../examples/deploy/docker/Dockerfile")]
//! ```
//!
//! </details>
//! <details><summary>docker/compose.yaml</summary>
//!
//! ```yaml
#![doc = include_str!("../../examples/deploy/docker/compose.yaml")]
//! ```
//!
//! </details>
//!
//! # ECS
//!
//! The task definition repeats the health check of the image, because ECS does not
//! read the Dockerfile's: `["CMD", "/readiness", "check"]`, with a `startPeriod`
//! longer than a slow start. ECS replaces an unhealthy task, so never add
//! `--ready`; the target group of the load balancer asks for `/readyz`.
//!
//! When a service stops a task, ECS takes it out of its target group first, waits
//! for `deregistration_delay.timeout_seconds`, and sends SIGTERM then. A delay of a
//! second or two is enough for that. Spot interruptions and tasks stopped by hand
//! do not wait, so keep 5. Set `stopTimeout` to more than the sum; its default is
//! 30 s.
//!
//! # ALB and NLB
//!
//! Health checks ask for `/readyz`, by HTTP also in front of a TCP target group.
//! With their defaults, they need 30 to 65 s to notice. An interval of 5 s, 2
//! failures and a timeout of 2 s bring that to 12 s at most; then choose a delay of
//! 15 s and a grace period with room for it. The delay may be shorter where the
//! sender of SIGTERM deregisters the target first, as ECS does.
//!
//! - When no target is healthy, both send to all of them. That is right with a
//!   gate: draining targets still serve, and failing targets refuse. A dependency
//!   of every replica has to be [shared](crate::Subsystem::shared) all the same, or
//!   all gates are closed.
//! - An NLB resets the connections of a target that turns unhealthy, in the middle
//!   of their requests, and a draining process is unhealthy to it. Turn
//!   `target_health_state.unhealthy.connection_termination.enabled` off, and set
//!   `target_health_state.unhealthy.draining_interval_seconds` to the sum, 25 s.
//! - `deregistration_delay.timeout_seconds` is 300 by default; a value above the
//!   duration of the longest request only delays the end.
//! - An NLB balances connections. `connection: close` moves clients to other
//!   targets during the delay; a client that sends no request during the delay is
//!   cut off when the process ends.
//!
//! [`late_arrivals`](crate::Readiness::late_arrivals) shows whether the delay was
//! long enough.
//!
//! # HAProxy, nginx and Envoy
//!
//! Each of these proxies can send a refused request to another replica before any
//! check has failed. The application never handled the request, so this is safe for
//! every method. But the proxy must tell the 503 of a gate from the 503 of the
//! application, which may come from half-way through an order.
//!
//! - **HAProxy** cannot: `retry-on 503` goes by the status, so restrict it to
//!   idempotent requests. Checks name the method; without it HAProxy asks with
//!   OPTIONS, which a probe answers with 405, and a CORS layer with 200 for ever.
//!   With `http-check disable-on-404` and
//!   [`not_found_while_draining`](crate::probe::ProbesBuilder::not_found_while_draining)
//!   HAProxy notices a drain at the first check: after 0.30 s in the median of 12
//!   (at most 0.50 s), instead of 1.23 s (1.51 s) by `fall 3` (HAProxy 2.6.12,
//!   `inter 500ms`).
//! - **nginx** cannot either, and sends a POST to no second replica unless
//!   `non_idempotent` is set: do not set it. The open source version has no active
//!   checks and learns from the answers to requests. A POST that meets a red
//!   replica before any GET gets 503 (with `retry-after`). While nginx avoids all
//!   replicas, for `fail_timeout`, it would answer 502 by itself. So the file lists
//!   each replica a second time as a backup that nginx never avoids, and clients
//!   get the 503 of the gate.
//! - **Envoy** can: `retriable-headers` with `x-readiness`. It retries a POST as
//!   well, and passes on the 503 of the application. The panic threshold stays:
//!   when less than half of the replicas are green, Envoy sends to all; draining
//!   replicas serve and the others refuse. Outlier detection counts broken
//!   connections, not 503: health checks judge 503.
//!
//! <details><summary>proxies/haproxy.cfg</summary>
//!
//! ```haproxy
#![doc = include_str!("../../examples/deploy/proxies/haproxy.cfg")]
//! ```
//!
//! </details>
//! <details><summary>proxies/nginx.conf</summary>
//!
//! ```nginx
#![doc = include_str!("../../examples/deploy/proxies/nginx.conf")]
//! ```
//!
//! </details>
//! <details><summary>proxies/envoy.yaml</summary>
//!
//! ```yaml
#![doc = include_str!("../../examples/deploy/proxies/envoy.yaml")]
//! ```
//!
//! </details>
//!
//! # systemd
//!
//! The process notifies systemd (feature `systemd`); systemd sends no probes.
//! `systemctl start` waits for `READY=1`, the startup latch. The mirror pings the
//! watchdog while liveness is green, so systemd restarts the service only for a
//! dead vital subsystem or a runtime that hangs, never for the outage of a
//! dependency. With a socket unit clients do not notice a restart: connections wait
//! in the kernel, and the gate [holds](crate::Action::hold) early requests.
//!
//! `ExecReload=` sends SIGHUP, which ends a program without a handler, and skips
//! the drain. Install the handler before systemd hears of the process, or leave the
//! line out. A socket unit with several `ListenStream=` passes several sockets; the
//! kernel accepts connections for each, so a program that serves only one of them
//! has to refuse to start.
//!
//! <details><summary>systemd/app.service</summary>
//!
//! ```ini
#![doc = include_str!("../../examples/deploy/systemd/app.service")]
//! ```
//!
//! </details>
//! <details><summary>systemd/app.socket</summary>
//!
//! ```ini
#![doc = include_str!("../../examples/deploy/systemd/app.socket")]
//! ```
//!
//! </details>
//!
//! # Nomad
//!
//! Readiness and liveness are checks of two services, because `check_restart` must
//! never see readiness. `kill_timeout` is 5 s by default, less than any drain, and
//! no client grants more than its own `max_kill_timeout`.
//!
//! <details><summary>nomad/app.nomad.hcl</summary>
//!
//! ```hcl
#![doc = include_str!("../../examples/deploy/nomad/app.nomad.hcl")]
//! ```
//!
//! </details>
//!
//! # Commands for operators
//!
//! `readiness check --ready --verbose` (feature `cli`) names the failing
//! subsystems and the reasons. With the feature `commands`, an admin listener on a
//! unix socket that only its owner can open also executes
//! [commands](https://docs.rs/tower-readiness/latest/tower_readiness/server/commands/index.html);
//! a TCP listener never does. In the program:
//!
//! ```
//! # #[cfg(all(unix, feature = "commands"))] {
//! # let folder = tempfile::tempdir()?;
//! # let socket = folder.path().join("admin.sock");
//! use tower_readiness::{Readiness, Subsystem, server::AdminListener};
//!
//! # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
//! // `socket` is a path such as /run/app/admin.sock.
//! AdminListener::new(&readiness).with_commands().serve_on_thread(&*socket)?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Then, as its owner or as root:
//!
//! ```sh
//! export READINESS_ADDR=unix:/run/app/admin.sock
//! readiness pause 'moving the disk'   # readiness red, traffic served
//! readiness resume
//! readiness drain --wait              # as SIGTERM; returns when the process is closed
//! ```
//!
//! # Leader election
//!
//! Never make leadership required. All replicas but the leader would never be
//! ready: a rollout waits for ever, and while the leader changes no replica serves.
//! Declare leadership optional, and required in a [scope](crate::Builder::scope) of
//! its own. The scope gates the routes that need it, and a proxy can ask for
//! `/readyz/leader` at the admin listener.
//!
//! ```
//! use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
//!
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("listener"))
//!     .subsystem(Subsystem::new("leadership").optional())
//!     .scope("leader", ["leadership"])
//!     .build()?;
//! let leader_only = ReadinessLayer::gate(readiness.scope("leader")?);
//!
//! let leadership = readiness.reporter("leadership")?;
//! leadership.failing("another replica leads");
//! readiness.reporter("listener")?.leave_ready();
//!
//! assert!(readiness.verdict().is_ready());
//! assert!(!readiness.scope("leader")?.verdict().is_ready());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Scale to zero
//!
//! The first request arrives while no process runs. The component that queues it
//! (Knative's activator, a systemd socket, a queue) sends it as soon as it can
//! connect. Hold the request for less than its sender waits, and bound the number
//! of held requests; then the first clients get no 503:
//!
//! ```
//! # use std::time::Duration;
//! # use tower_readiness::{Action, Readiness, ReadinessLayer, Subsystem};
//! # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
//! let layer = ReadinessLayer::new(&readiness)
//!     .when_starting(Action::hold(Duration::from_secs(10))?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Probe often while starting (`periodSeconds: 1`): the probe's period adds to the
//! wait of the first user.
