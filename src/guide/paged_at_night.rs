//! Paged at night: from the alert to the cause, in the order in which one looks.
//!
//! The alert rules are
//! [`examples/deploy/prometheus/rules.yaml`](https://docs.rs/crate/tower-readiness/latest/source/examples/deploy/prometheus/),
//! beside their tests and a dashboard for Grafana. The rules read the
//! [metrics](crate::guide::metrics) of the feature `metrics`. Only one of them pages;
//! the others are tickets.
//!
//! # The first minute
//!
//! 1. **Which replicas?** The panel *Readiness* of the dashboard, or
//!    `readiness_verdict{scope="readiness",probe="readiness"}`. One red replica is a
//!    fault of that replica, and its load balancer routes around it. All red replicas
//!    are a fault that they share: a dependency, a configuration, a release.
//! 2. **Starting, draining or paused?** The panel *Phase*. A rollout or an operator
//!    explains such a replica, and no rule alerts on it alone.
//! 3. **Which subsystem?** The panel *Subsystems that are not ready*, or
//!    `readiness_subsystem_state{state!="ready"} == 1`.
//! 4. **Why?** Metrics hold no reasons. Ask the replica:
//!
//!    ```sh
//!    kubectl port-forward pod/app-6d5f 28080 &
//!    curl 'http://localhost:28080/readyz?verbose'   # what is red, why, and for how long
//!    curl http://localhost:28080/statusz            # also refused requests, drift
//!    ```
//!
//!    With the feature `page`, `http://localhost:28080/` in a browser shows both, live.
//!
//!    The log has each transition with its reason (`target: tower_readiness`), also of a
//!    process that has ended; the guide's page `log` lists the events. `kubectl describe
//!    pod` shows why the last container ended, if the process writes a
//!    [termination message](crate::Readiness::termination_message).
//! 5. **What do users notice?** The panel *Requests not admitted at once*: the scope,
//!    and the reason. Without refused requests, the load balancer has moved the traffic.
//!
//! # No replica is ready
//!
//! *ReadinessNoReplicaGreen*, a page: for two minutes, no replica that is not paused was
//! ready. The cause is shared.
//!
//! - The same *required* subsystem is down on all replicas: is it a dependency that they
//!   share? Then the outage of the dependency took the whole fleet out of rotation.
//!   Declare it as [shared](crate::Subsystem::shared), so that the next one only
//!   degrades ([which role](crate::guide::choosing_what_is_required)).
//! - All are in the phase `starting`: see [below](#a-start-takes-too-long). A release
//!   that cannot start is best undone.
//! - All drain: an operator, or an autoscaler that scaled to zero.
//! - There are no series: the replicas are gone, or Prometheus does not reach them. Alert
//!   on `up` too, because this rule is silent then.
//!
//! # One replica is red
//!
//! *ReadinessReplicaRed*, a ticket: it has started, is neither paused nor drains, and was
//! red for five minutes. The first minute above finds the subsystem and the reason. If
//! its state is `dead` and a restart is the cure, declare it as
//! [vital](crate::Subsystem::vital): liveness then has the replica restarted without a
//! person.
//!
//! # A start takes too long
//!
//! *ReadinessStartSlow*, a ticket: the process has been starting for more than five
//! minutes. The panel *Slowest parts of the start* names the subsystem that holds it up,
//! as `topk(3, readiness_subsystem_startup_duration_seconds)` does: a subsystem that has
//! not come up counts on. The `detail` of its last report is in `/readyz?verbose`.
//!
//! # A subsystem flaps
//!
//! *ReadinessFlapping*, a ticket: a subsystem went down more than five times in half an
//! hour. Each time clients are refused and connections move. A check that fails now and
//! then needs more [failures](crate::Subsystem#method.check) before it counts, and a
//! reporter a [hold-down](crate::Subsystem::hold_down); first see whether the dependency
//! is overloaded at these moments.
//!
//! # A subsystem is stale
//!
//! *ReadinessStale*, a ticket: its reporter sent nothing within its
//! [ttl](crate::Subsystem::ttl). `readiness_subsystem_last_report_timestamp_seconds` is
//! the time of its last report. Look at `readiness_runtime_delay_seconds` and at the
//! mean duration of checks: if the runtime is slow, other subsystems follow. Otherwise
//! the task of the reporter hangs: in a lock, or in a call without a timeout.
//!
//! # Ready and failing
//!
//! *ReadinessDrift*, a ticket: more than one in twenty requests failed although their
//! scope was ready. No subsystem reports the part that fails: which one do the failed
//! requests need? *ReadinessRefusingAgainstChecks*, a ticket: the gate refuses although
//! the checks of its subsystems pass, so a reporter is wrong, or its owner has forgotten
//! to report ready ([reports that stay true](crate::guide::reporters_that_cannot_lie)).
//!
//! # It refuses requests
//!
//! *ReadinessRefusing*, a ticket: a process that has started refused requests for ten
//! minutes, so its load balancer sends to a red replica. With the reason `failing`: does
//! the balancer probe `/readyz` and not `/livez`, and at an interval of seconds
//! ([deploying](crate::guide::deploying))? With `saturated`: the service has no room for
//! more, which needs more replicas. In a scope other than `readiness`, only the routes of
//! that scope are down.
//!
//! # The rules
//!
//! ```yaml
#![doc = include_str!("../../examples/deploy/prometheus/rules.yaml")]
//! ```
