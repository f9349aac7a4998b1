use crate::{DRAIN_DELAY, STALLED_AFTER, authenticate::KEYS_TAKE};
use std::net::SocketAddr;
use tower_readiness::server::Address;

pub(crate) fn print(address: SocketAddr, admin: &Address) {
    println!(
        "\
Serving on http://{address}, for operators on http://{admin}.

Within {KEYS_TAKE:?}: the signing keys have not arrived. Operators see the missing subsystem,
and a request waits until it can be served instead of being refused
  curl -i 'http://{admin}/readyz?verbose'
  curl -i -H 'authorization: Bearer alice' http://{address}/

Ready: requests are authorized, and some are forbidden. The probe of the application shows
the verdict alone, the admin listener every detail
  curl -i http://{address}/
  curl -i -H 'authorization: Bearer bob' http://{address}/admin
  curl -i 'http://{address}/readyz?verbose'
  curl -i 'http://{admin}/readyz?verbose'

The policy is synchronised: its version shows as an attribute, and bob may enter
  curl -i -X POST http://{address}/demo/authorize/publish
  sleep 1
  curl -i 'http://{admin}/readyz/authorize?verbose'
  curl -i -H 'authorization: Bearer bob' http://{address}/admin

The sync hangs and reports no more: after 4 seconds of silence the subsystem is stale, and
the gate closes. When the sync continues, so does the traffic. Liveness stays green
  curl -i -X POST http://{address}/demo/authorize/hang
  sleep 4
  curl -i http://{admin}/readyz
  curl -i -H 'authorization: Bearer alice' http://{address}/
  curl -i http://{admin}/livez
  curl -i -X POST http://{address}/demo/authorize/resume
  curl -i 'http://{admin}/readyz?wait=5'

A task is killed, which drops its reporter; its successor waits for the keys once more. The
subsystem was up before, so meanwhile it fails, and requests are refused
  curl -i -X POST http://{address}/demo/authenticate/kill
  curl -i http://{admin}/readyz
  curl -i -X POST http://{address}/demo/authenticate/restart
  curl -i http://{admin}/readyz
  curl -i -H 'authorization: Bearer alice' http://{address}/
  curl -i 'http://{admin}/readyz?wait=10'

The file of the storage is moved away. Writes to the open file succeed, the check fails:
`failing 1/3`, `failing 2/3`, with the reason; at the third failure the gate closes
  curl -i -X POST http://{address}/demo/storage/lose
  for i in 1 2 3 4 5 6; do sleep 1; curl 'http://{admin}/readyz/storage?verbose'; done
  curl -i -H 'authorization: Bearer alice' http://{address}/
It comes back, and the gate opens within 8 seconds, because the check had backed off
  curl -i -X POST http://{address}/demo/storage/restore
  curl -i 'http://{admin}/readyz?wait=10'
(Try `replace` too: another file stands in its place. `restore` brings back this one.)

The upstream cannot be reached: the gate closes within a second
  curl -i -X POST http://{address}/demo/upstream/stop
  sleep 1
  curl -i http://{admin}/readyz
  curl -i -H 'authorization: Bearer alice' http://{address}/
  curl -i -X POST http://{address}/demo/upstream/start
  curl -i 'http://{admin}/readyz?wait=5'

The upstream can be reached and answers 500: no subsystem checks responses, so all stay
green. The failures show as drift, in the status: `failed while ready`
  curl -i -X POST http://{address}/demo/upstream/break
  curl -i -H 'authorization: Bearer alice' http://{address}/
  curl -i http://{admin}/readyz
  curl -i http://{admin}/statusz
  curl -i -H 'accept: application/json' http://{admin}/statusz
  curl -i -X POST http://{address}/demo/upstream/mend

The directory is shared by all replicas: after two failures in a row it degrades, and requests are served
  curl -i -X POST http://{address}/demo/directory/stop
  sleep 4
  curl -i http://{admin}/readyz
  curl -i -H 'authorization: Bearer alice' http://{address}/
  curl -i -X POST http://{address}/demo/directory/start

The audit log is optional, except for secrets: these alone are 503
  curl -i -X POST http://{address}/demo/audit/lose
  sleep 2
  curl -i http://{admin}/readyz
  curl -i -H 'authorization: Bearer alice' http://{address}/
  curl -i -H 'authorization: Bearer alice' http://{address}/secrets/door
  curl -i http://{admin}/readyz/secrets
  curl -i -X POST http://{address}/demo/audit/restore

The end: for {DRAIN_DELAY:?} readiness is red but requests are served, then those in flight are finished.
The admin listener answers until the process has ended, also when the other port is closed
  curl -i -H 'authorization: Bearer alice' http://{address}/slow &
  kill -TERM {pid}
  curl -i -H 'authorization: Bearer alice' http://{address}/
  curl -i http://{admin}/readyz
  sleep 6
  curl -i http://{admin}/readyz
Or press ctrl-c, once to drain, twice to skip the delay, three times to kill.

A worse end, after another start: every thread of the runtime is blocked. The probes on
its port get no answer. The admin listener and the watch of the runtime have threads of
their own: after {STALLED_AFTER:?} liveness is red. Only a restart mends this, and the process handles
no more signals (its files stay in the temporary folder)
  curl -i -X POST http://{address}/demo/runtime/block
  sleep 1
  curl -i --max-time 2 http://{address}/livez
  sleep 6
  curl -i http://{admin}/livez
  kill -KILL {pid}",
        pid = std::process::id(),
    );
}
