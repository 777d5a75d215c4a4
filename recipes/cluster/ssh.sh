#!/bin/sh
# Training on hosts that plain ssh reaches without a password, the first one the head:
#   HOSTS="node1 node2" recipes/cluster/ssh.sh prior video_700m data.train=tokens --tokenizer runs/tok --run runs/prior
# The checkout lies at the same path on every host (a shared folder, or CHECKOUT=PATH). Ctrl-C stops all of them after a
# save; when one ends with an error, the others are stopped too.
set -eu
checkout=${CHECKOUT:-$(cd "$(dirname "$0")/../.." && pwd)}
count=$(echo "$HOSTS" | wc -w)
head=${HOSTS%% *}
names="PORT PROCESSES ACCELERATE_CONFIG PYTHON OMP_NUM_THREADS"  # passed on where they are set

quoted() {
    for word in "$@"; do printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")"; done
}
settings=
for name in $names; do
    eval "value=\${$name:-}"
    [ -z "$value" ] || settings="$settings $(quoted "$name=$value")"
done

rank=0 started=
for host in $HOSTS; do
    # -tt: when ssh ends, so does what it started on the host
    ssh -tt "$host" "cd $(quoted "$checkout") && exec env $settings sh recipes/cluster/node.sh $count $rank $head $(quoted "$@")" \
        < /dev/null &
    started="$started $!" rank=$((rank + 1))
done
trap 'kill -TERM $started 2> /dev/null || true' INT TERM
failed=0
for process in $started; do
    wait "$process" || { failed=$?; kill -TERM $started 2> /dev/null || true; }
done
exit "$failed"
