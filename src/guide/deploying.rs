//! One state, mapped onto each runtime that asks: which probe goes where, and
//! what the numbers around it have to be.
//!
//! The files are whole and work as they are; they are in
//! [`examples/deploy`](https://docs.rs/crate/tower-readiness/latest/source/examples/deploy/),
//! beside the service that they deploy. `tests/e2e/deploy_files` has each read by
//! whoever is to read it; `tests/e2e/proxies`, `tests/e2e/docker` and
//! `tests/e2e/systemd` run them.
//!
//! # Who asks what
//!
//! A runtime asks for one of three things, and what it does about the answer
//! decides which one it may ask for:
//!
//! | question | who asks | what *no* leads to |
//! |---|---|---|
//! | has it started? `/startupz` | Kubernetes' startup probe; systemd, by waiting for `READY=1`; Compose, by `service_healthy` | others wait; in the end it is given up |
//! | shall it get traffic? `/readyz` | readiness probes; HAProxy, Envoy, ALB, NLB; Nomad's and Consul's checks | it gets none |
//! | is it worth keeping? `/livez` | liveness probes; systemd's watchdog; Nomad's `check_restart` | it is killed and started anew |
//!
//! Never let the third kind ask the second question. A draining process is not
//! ready, nor is one whose database is gone, and killing it loses what it was
//! about to finish, or restarts the whole fleet for somebody else's outage.
//!
//! A container has one bit, and Docker's Swarm and ECS replace one that is
//! unhealthy. So a health check *command* asks whether the process has started
//! and, once it has, whether it is alive: that is what `readiness check` (feature
//! `cli`) and the `client` module (feature `client`) do unless told.
//!
//! # The sum
//!
//! Wherever a process is told to end, two times have to fit into a third:
//!
//! > delay + longest request < time until SIGKILL
//!
//! and the delay has to be longer than the slowest of those who ask for
//! readiness takes to notice. [Graceful shutdown](super::graceful_shutdown) has
//! the table; here is what the files choose:
//!
//! | | notices after | delay | in flight | until SIGKILL |
//! |---|---|---|---|---|
//! | Kubernetes | 1 to 2 s (the endpoint's removal); 3 s (the probe) | 5 s | 20 s | 30 s, `terminationGracePeriodSeconds` |
//! | Nomad | 3 s | 5 s | 20 s | 28 s, `kill_timeout` (5 s unless said!) |
//! | Docker | up to whoever sends traffic | 4 s | 5 s | 10 s, `docker stop -t` |
//! | Compose, with time | | 5 s | 20 s | 30 s, `stop_grace_period` |
//! | systemd, with a socket | at once: the socket stays | 0.5 s | 20 s | 30 s, `TimeoutStopSec` |
//!
//! # Kubernetes
//!
//! Three probes and no preStop hook. Liveness and readiness wait for the startup
//! probe's first success, so a start may be slow without being killed for it. One
//! failure of the readiness probe is enough: the answer was not measured, it was
//! said, and what shall not count at once has a
//! [hold-down](crate::Subsystem::hold_down).
//!
//! The port is bound as `[::]:3000`, which on Linux takes connections of IPv4
//! too: `0.0.0.0:3000` is not reached in a cluster that has IPv6 alone. (Where
//! `net.ipv6.bindv6only` is 1, it takes those of IPv6 alone; where the kernel was
//! started with `ipv6.disable=1`, it cannot be bound, and `0.0.0.0:3000` is right.)
//!
//! `readinessGates` are left out on purpose: each is an opinion from outside
//! which the process does not know of, so that its own probes say green while
//! the pod is not Ready, and while the one who has to give it is down no pod
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
//! A **gRPC server** is asked by gRPC (feature `grpc`). The services are called
//! `startup`, `readiness` and `liveness`; a probe without a name asks for
//! readiness, so liveness has to name its own.
//!
//! <details><summary>kubernetes/grpc-probes.yaml</summary>
//!
//! ```yaml
#![doc = include_str!("../../examples/deploy/kubernetes/grpc-probes.yaml")]
//! ```
//!
//! </details>
//!
//! **A port that wants client certificates** cannot be probed: a kubelet has
//! none. The admin listener (feature `server`) answers instead, at the pod's
//! address, which the default `127.0.0.1` is not: it is given a port alone,
//! `:28080`, and listens on all addresses, of IPv4 and of IPv6. There it tells
//! names and no reasons, and no Service shows it.
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
//! Failures within the start period do not count, and the first success ends
//! it. Then the container stays healthy while a dependency fails and while it
//! drains, and is unhealthy when a [vital](crate::Subsystem::vital) subsystem is
//! dead; `docker inspect` shows which, and why. Compose starts
//! what depends on it when it is healthy, and does nothing if it ceases to be.
//! Swarm replaces the task; let it start the new one first
//! (`update_config: { order: start-first }`).
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
//! The task definition has the image's health check once more (ECS does not read
//! the Dockerfile's): `["CMD", "/readiness", "check"]`, with a `startPeriod` that a
//! slow start fits into. An unhealthy task is replaced, so never `--ready`; the
//! target group of the load balancer asks for `/readyz`.
//!
//! When a service stops a task, it takes it out of its target group first, waits
//! for `deregistration_delay.timeout_seconds`, and sends SIGTERM then. A delay
//! of a second or two is enough for that. Spot interruptions and
//! tasks that are stopped by hand do not wait, so keep 5. Set `stopTimeout` to
//! more than the sum; it is 30 s unless told.
//!
//! # ALB and NLB
//!
//! Health checks ask for `/readyz`, by HTTP also in front of a TCP target group.
//! With their defaults, they need 30 to 65 s to notice: an interval of 5 s,
//! 2 failures and a timeout of 2 s bring that to 12 at most, and a delay of 15
//! is then on the safe side (and a grace period that has room for it), unless
//! whoever sends SIGTERM takes the target out before, as ECS does.
//!
//! - When no target is healthy, both send to all of them. That is right with a
//!   gate: what drains still serves, what cannot serve refuses. A dependency of
//!   every replica has to be [shared](crate::Subsystem::shared) all the same, or
//!   all gates are closed.
//! - An NLB resets the connections of a target that turns unhealthy, and a draining
//!   process is just that, in the middle of what it has in flight. Turn
//!   `target_health_state.unhealthy.connection_termination.enabled` off, and set
//!   `target_health_state.unhealthy.draining_interval_seconds` to the sum, 25 s.
//! - `deregistration_delay.timeout_seconds` is 300 unless told: nothing gets
//!   better after the longest request, so choose that.
//! - An NLB balances connections. `connection: close` sends clients elsewhere
//!   during the delay; those that never ask again are cut off with the process.
//!
//! [`late_arrivals`](crate::Readiness::late_arrivals) tells whether the delay was
//! long enough.
//!
//! # HAProxy, nginx and Envoy
//!
//! Each of them can send a refused request elsewhere, before any check has
//! failed. The gate never handled it, so this is safe whatever the method is; the
//! question is whether the proxy can tell a gate's 503 from the application's
//! own, which may come from half-way through an order.
//!
//! - **HAProxy** cannot: `retry-on 503` goes by the status. So only what may be
//!   done twice anyway is sent twice. Checks name the method; without it HAProxy
//!   asks with OPTIONS, which a probe answers with 405, and a CORS layer with 200
//!   for ever. With `http-check disable-on-404` and
//!   [`not_found_while_draining`](crate::probe::Probes::not_found_while_draining)
//!   a drain is noticed at the first check: after 0.30 s in the median of 12 (at
//!   most 0.50 s), instead of 1.23 s (1.51 s) by `fall 3` (HAProxy 2.6.12,
//!   `inter 500ms`).
//! - **nginx** cannot either, and keeps a POST where it was sent unless
//!   `non_idempotent` is said: do not. The open source version has no active
//!   checks and finds out by the answers to requests. A POST that meets a red
//!   replica before a GET has is answered 503 (with `retry-after`). While nginx
//!   leaves all replicas alone it would answer 502 by itself, for `fail_timeout`,
//!   so the file lists each replica once more as a backup that is never left
//!   alone: clients get the gate's 503 then, too.
//! - **Envoy** can: `retriable-headers` with `x-readiness`. A POST is tried
//!   elsewhere as well, and the application's own 503 is left alone. The panic
//!   threshold stays: when less than half are green, all are asked, those that
//!   drain serve and the rest refuse. Outlier detection counts what breaks, not
//!   what is answered with 503: the checks judge that.
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
//! Nobody asks; the process tells (feature `systemd`). `systemctl start` waits for
//! `READY=1`, the startup latch. The watchdog is pinged while liveness is green,
//! so what restarts the service is a dead vital subsystem or a runtime that
//! hangs, and no outage of something else. With a socket unit nobody has to
//! notice a restart: connections wait in the kernel, and the gate
//! [holds](crate::Action::hold) what arrives early.
//!
//! `ExecReload=` sends SIGHUP, which ends a program that does not handle it, with
//! nothing drained: the handler is installed before systemd hears of the process,
//! or the line is left out. A socket unit with several `ListenStream=` hands over
//! several sockets; the kernel accepts connections for each, so a program that
//! serves one of them has to refuse to start.
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
//! Readiness and liveness are checks of two services, because `check_restart`
//! must never hear of readiness. `kill_timeout` is 5 s unless said, less than any
//! drain, and no client grants more than its own `max_kill_timeout`.
//!
//! <details><summary>nomad/app.nomad.hcl</summary>
//!
//! ```hcl
#![doc = include_str!("../../examples/deploy/nomad/app.nomad.hcl")]
//! ```
//!
//! </details>
//!
//! # Leader election
//!
//! Never make leadership required. All replicas but one would never be ready: a
//! rollout waits for ever, and while the leader changes nobody serves at all.
//! It is optional, and required in a [scope](crate::Builder::scope) of its own,
//! which gates the routes that need it (and which a proxy can ask for by
//! `/readyz/leader`, at the admin listener).
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
//! The first request arrives while nothing runs, and whoever kept it (Knative's
//! activator, a socket of systemd's, a queue) lets go of it as soon as it can
//! connect. Hold it, for less than its sender waits, and bounded in number; then
//! nobody sees a 503 for having been first:
//!
//! ```
//! # use std::time::Duration;
//! # use tower_readiness::{Action, Readiness, ReadinessLayer, Subsystem};
//! # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
//! let layer = ReadinessLayer::new(&readiness)
//!     .starting(Action::hold(Duration::from_secs(10))?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Probe often while starting (`periodSeconds: 1`): the probe's period is part of
//! what the first user waits for.
