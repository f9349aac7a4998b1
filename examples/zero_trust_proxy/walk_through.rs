use crate::{DRAIN_DELAY, STALLED_AFTER, authenticate::KEYS_TAKE};
use std::net::SocketAddr;
use tower_readiness::server::Address;

pub(crate) fn print(address: SocketAddr, admin: &Address) {
    println!(
        "\
Serving on http://{address}, for operators on http://{admin}.

Within {KEYS_TAKE:?}: the signing keys have not arrived. Operators see who is missing, and a
request waits until it can be served instead of being refused
  curl -i 'http://{admin}/readyz?verbose'
  curl -i -H 'authorization: Bearer alice' http://{address}/

Ready: requests are told apart, and some are forbidden. A stranger who asks for readiness
is told no more than that, whoever is on the machine everything
  curl -i http://{address}/
  curl -i -H 'authorization: Bearer bob' http://{address}/admin
  curl -i 'http://{address}/readyz?verbose'
  curl -i 'http://{admin}/readyz?verbose'

The policy is synchronised: its version shows as an attribute, and bob may enter
  curl -i -X POST http://{address}/demo/authorize/publish
  sleep 1
  curl -i 'http://{admin}/readyz/authorize?verbose'
  curl -i -H 'authorization: Bearer bob' http://{address}/admin

The sync hangs and says nothing any more: after 4 seconds its silence is a report, and the
gate closes. It goes on, and so does the traffic. Nobody restarts the process for it
  curl -i -X POST http://{address}/demo/authorize/hang
  sleep 4
  curl -i http://{admin}/readyz
  curl -i -H 'authorization: Bearer alice' http://{address}/
  curl -i http://{admin}/livez
  curl -i -X POST http://{address}/demo/authorize/resume
  curl -i 'http://{admin}/readyz?wait=5'

A task is killed, which drops its reporter; its successor waits for the keys once more. It
was up before, so meanwhile it fails, and requests are refused
  curl -i -X POST http://{address}/demo/authenticate/kill
  curl -i http://{admin}/readyz
  curl -i -X POST http://{address}/demo/authenticate/restart
  curl -i http://{admin}/readyz
  curl -i -H 'authorization: Bearer alice' http://{address}/
  curl -i 'http://{admin}/readyz?wait=10'

The file of the storage is moved away. Whoever has it open does not notice, the check does:
`failing 1/3`, `failing 2/3`, and what was found; at the third the gate closes
  curl -i -X POST http://{address}/demo/storage/lose
  for i in 1 2 3 4 5 6; do sleep 1; curl 'http://{admin}/readyz/storage?verbose'; done
  curl -i -H 'authorization: Bearer alice' http://{address}/
It comes back, and the gate opens within 8 seconds, for the check had begun to ask less often
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

It can be reached and answers 500: no subsystem looks at that, so all stay green. That they
are wrong shows as drift, in the status: `failed while ready`
  curl -i -X POST http://{address}/demo/upstream/break
  curl -i -H 'authorization: Bearer alice' http://{address}/
  curl -i http://{admin}/readyz
  curl -i http://{admin}/statusz
  curl -i -H 'accept: application/json' http://{admin}/statusz
  curl -i -X POST http://{address}/demo/upstream/mend

The directory is shared by all replicas: two failures in a row degrade, and all is served
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

The end: for {DRAIN_DELAY:?} readiness is red but all is served, then what is in flight is finished.
Operators are answered until the process is gone, also when the port of the traffic is closed
  curl -i -H 'authorization: Bearer alice' http://{address}/slow &
  kill -TERM {pid}
  curl -i -H 'authorization: Bearer alice' http://{address}/
  curl -i http://{admin}/readyz
  sleep 6
  curl -i http://{admin}/readyz
Or press ctrl-c, once to drain, twice to skip the delay, three times to kill.

A worse end, after another start: every thread of the runtime is blocked. No probe that it
serves is answered any more. The admin listener has a thread of its own, and so has who
watches the runtime: after {STALLED_AFTER:?} liveness is red, which is what it is for. Nothing in the
process can mend that, and its signals are not heard (its files stay in the temporary folder)
  curl -i -X POST http://{address}/demo/runtime/block
  sleep 1
  curl -i --max-time 2 http://{address}/livez
  sleep 6
  curl -i http://{admin}/livez
  kill -KILL {pid}",
        pid = std::process::id(),
    );
}
