# shellcheck shell=bash disable=SC2034
# What the scripts of deploy/local share. Sourced, never run. Linux only: it reads /proc.

set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(cd -- "$here/../.." && pwd)
program=$(basename -- "$0")

# Exit codes, after sysexits.h.
EX_USAGE=64 EX_UNAVAILABLE=69 EX_SOFTWARE=70 EX_TEMPFAIL=75 EX_CONFIG=78

say() { printf '%s\n' "$*" >&2; }

die() {
    local code=$1
    shift
    say "$program: $*"
    exit "$code"
}

now_ms() { date +%s%3N; }

seconds_since() { # MS: the seconds from then, with one decimal
    local spent=$(($(now_ms) - $1))
    printf '%d.%d' $((spent / 1000)) $((spent % 1000 / 100))
}

# --- settings -----------------------------------------------------------------

# What a run folder was started with; kept in its file `settings`.
setting_names=(
    NODES KITH_LOCAL_COMMITLOG KITH_LOCAL_HINTS KITH_LOCAL_CQL_PROXIED KITH_LOCAL_TLS
    KITH_LOCAL_CQL_PORT KITH_LOCAL_STORAGE_PORT
    KITH_LOCAL_KAFKA_PORT KITH_LOCAL_KAFKA_CONTROLLER_PORT
    KITH_LOCAL_KAFKA_PROXIED_PORT KITH_LOCAL_KAFKA_PROXY_PORT
)

locate() { # the folders
    KITH_LOCAL_DIR=$(realpath -m -- "${KITH_LOCAL_DIR:-$here/run}")
    KITH_LOCAL_JARS=$(realpath -m -- "${KITH_LOCAL_JARS:-${XDG_CACHE_HOME:-$HOME/.cache}/kith/jars}")
    KITH_LOCAL_READY_SECONDS=${KITH_LOCAL_READY_SECONDS:-180}
    [[ $KITH_LOCAL_READY_SECONDS =~ ^[1-9][0-9]{0,4}$ ]] || die $EX_CONFIG "KITH_LOCAL_READY_SECONDS is '$KITH_LOCAL_READY_SECONDS', which is no number of seconds"
    local folder
    for folder in "$KITH_LOCAL_DIR" "$KITH_LOCAL_JARS" "$here"; do
        need_plain "$folder" "set KITH_LOCAL_DIR or KITH_LOCAL_JARS to a plain one"
    done
}

need_plain() { # FOLDER ADVICE: folders are written into YAML, properties, URLs and Java's argument files
    [[ $1 =~ ^[A-Za-z0-9/._+@-]+$ ]] || die $EX_CONFIG "the path '$1' has characters that the servers' settings cannot carry; $2"
}

settings_from_environment() {
    NODES=${NODES:-1}
    KITH_LOCAL_COMMITLOG=${KITH_LOCAL_COMMITLOG:-periodic}
    KITH_LOCAL_HINTS=${KITH_LOCAL_HINTS:-true}
    KITH_LOCAL_CQL_PROXIED=${KITH_LOCAL_CQL_PROXIED:-false}
    KITH_LOCAL_TLS=${KITH_LOCAL_TLS:+$(realpath -m -- "$KITH_LOCAL_TLS")}
    KITH_LOCAL_CQL_PORT=${KITH_LOCAL_CQL_PORT:-9042}
    KITH_LOCAL_STORAGE_PORT=${KITH_LOCAL_STORAGE_PORT:-7000}
    KITH_LOCAL_KAFKA_PORT=${KITH_LOCAL_KAFKA_PORT:-19092}
    KITH_LOCAL_KAFKA_CONTROLLER_PORT=${KITH_LOCAL_KAFKA_CONTROLLER_PORT:-19093}
    KITH_LOCAL_KAFKA_PROXIED_PORT=${KITH_LOCAL_KAFKA_PROXIED_PORT:-19094}
    KITH_LOCAL_KAFKA_PROXY_PORT=${KITH_LOCAL_KAFKA_PROXY_PORT:-29094}
    [[ $NODES == 1 || $NODES == 3 ]] || die $EX_CONFIG "NODES is '$NODES', but must be 1 or 3"
    [[ $KITH_LOCAL_COMMITLOG == periodic || $KITH_LOCAL_COMMITLOG == batch ]] ||
        die $EX_CONFIG "KITH_LOCAL_COMMITLOG is '$KITH_LOCAL_COMMITLOG', but must be periodic or batch"
    [[ $KITH_LOCAL_HINTS == true || $KITH_LOCAL_HINTS == false ]] ||
        die $EX_CONFIG "KITH_LOCAL_HINTS is '$KITH_LOCAL_HINTS', but must be true or false"
    [[ $KITH_LOCAL_CQL_PROXIED == true || $KITH_LOCAL_CQL_PROXIED == false ]] || die $EX_CONFIG "KITH_LOCAL_CQL_PROXIED is '$KITH_LOCAL_CQL_PROXIED', but must be true or false"
    if [[ -n $KITH_LOCAL_TLS ]]; then
        need_plain "$KITH_LOCAL_TLS" "set KITH_LOCAL_TLS to a plain one"
        [[ -f $KITH_LOCAL_TLS/server.pem ]] || die $EX_CONFIG "KITH_LOCAL_TLS is '$KITH_LOCAL_TLS', which has no certificates; make them with $here/certify"
        ((NODES == 1)) || die $EX_CONFIG "KITH_LOCAL_TLS goes with one node"
    fi
    local name
    for name in "${setting_names[@]:5}"; do
        [[ ${!name} =~ ^[1-9][0-9]{0,4}$ && ${!name} -lt 65536 ]] || die $EX_CONFIG "$name is '${!name}', which is no port"
    done
}

print_settings() {
    local name
    for name in "${setting_names[@]}"; do
        printf '%s=%s\n' "$name" "${!name}"
    done
}

settings_from_folder() { # fails when nothing was ever started there
    [[ -f $KITH_LOCAL_DIR/settings ]] || return 1
    # shellcheck disable=SC1091
    . "$KITH_LOCAL_DIR/settings"
}

write_file() { # PATH: standard input into it, whole or not at all
    cat >"$1.new"
    mv -f -- "$1.new" "$1"
}

cql_nodes() {
    local n list=''
    for ((n = 1; n <= NODES; n++)); do
        list+=${list:+,}127.0.0.$n:$KITH_LOCAL_CQL_PORT
    done
    printf '%s' "$list"
}

print_env() { # the settings for Kith's binaries
    printf '%s\n' \
        "KITH_CQL_NODES=$(cql_nodes)" \
        "KITH_CQL_DIALECT=cassandra" \
        "KITH_CQL_REPLICATION_FACTOR=$NODES" \
        "KITH_CQL_KEYSPACE=${KITH_CQL_KEYSPACE:-kith}" \
        "KITH_CQL_LOCAL_DC=datacenter1" \
        "KITH_KAFKA_BOOTSTRAP=127.0.0.1:$KITH_LOCAL_KAFKA_PORT" \
        "KITH_KAFKA_REPLICATION_FACTOR=1" \
        "KITH_CREDENTIALS=$KITH_LOCAL_DIR/credentials.toml"
    [[ -z $KITH_LOCAL_TLS ]] || printf '%s\n' \
        "KITH_CQL_USERNAME=kith" \
        "KITH_CQL_PASSWORD_FILE=$KITH_LOCAL_TLS/cql.password" \
        "KITH_CQL_CA_FILE=$KITH_LOCAL_TLS/ca.pem" \
        "KITH_KAFKA_SECURITY_PROTOCOL=SASL_SSL" \
        "KITH_KAFKA_SASL_MECHANISM=SCRAM-SHA-512" \
        "KITH_KAFKA_SASL_USERNAME=kith" \
        "KITH_KAFKA_SASL_PASSWORD_FILE=$KITH_LOCAL_TLS/kafka.password" \
        "KITH_KAFKA_CA_FILE=$KITH_LOCAL_TLS/ca.pem"
}

write_credentials() { # the development account, for ingest-api, which never goes without a file; kept if it is there
    [[ -f $KITH_LOCAL_DIR/credentials.toml ]] || (umask 077 && write_file "$KITH_LOCAL_DIR/credentials.toml" <<END
[[account]]
sid = "AC00000000000000000000000000000000"
auth_token = "development"
END
    )
}

# --- Java and the jars --------------------------------------------------------

find_java() { # sets JAVA_HOME (which Maven reads, too) and java to a JDK 17, whatever `java` is
    local home
    for home in "${JAVA17_HOME:-}" "${JAVA_HOME:-}" /usr/lib/jvm/*17*; do
        [[ -n $home && -x $home/bin/java ]] || continue
        if "$home/bin/java" -version 2>&1 | grep 'version "17[."]' >/dev/null; then
            export JAVA_HOME=$home
            java=$home/bin/java
            return 0
        fi
    done
    return 1
}

jar_folder() { # kafka|cassandra: where its jars are, once fetched
    printf '%s/%s-%s' "$KITH_LOCAL_JARS" "$1" "$(cat "$here/$1/pom.xml" "$here/$1/jars.sha256" | sha256sum | cut -c 1-16)"
}

fetch_jars() ( # kafka|cassandra: once for all clones; a folder is there whole or not at all
    local product=$1 folder temporary
    folder=$(jar_folder "$product")
    [[ -d $folder ]] && exit 0
    mkdir -p -- "$KITH_LOCAL_JARS"
    exec 7>"$KITH_LOCAL_JARS/lock"
    flock 7 # Maven's own cache does not bear two writers
    [[ -d $folder ]] && exit 0
    say "$product: fetching the jars"
    rm -rf -- "$KITH_LOCAL_JARS/.$product".* # of a fetch that was killed
    temporary=$(mktemp -d -- "$KITH_LOCAL_JARS/.$product.XXXXXX")
    trap 'rm -rf -- "$temporary"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    mvn -q -B --strict-checksums -f "$here/$product/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$temporary/jars" </dev/null >"$temporary/log" 2>&1 || {
        cat -- "$temporary/log" >&2
        die $EX_UNAVAILABLE "$product: Maven could not fetch the jars"
    }
    (cd -- "$temporary/jars" && sha256sum --check --quiet --strict -- "$here/$product/jars.sha256") >&2 ||
        die $EX_SOFTWARE "$product: the jars are not those of $here/$product/jars.sha256"
    chmod 755 "$temporary/jars"
    mv -T -- "$temporary/jars" "$folder"
)

need_tools() { # a JDK 17, Python, and Maven if there is something to fetch; installs what is missing if it may
    if ! find_java || ! command -v python3 >/dev/null ||
        { ! command -v mvn >/dev/null && ! { [[ -d $(jar_folder kafka) && -d $(jar_folder cassandra) ]]; }; }; then
        "$here/prepare" servers >&2 || exit
        find_java || die $EX_UNAVAILABLE "no JDK 17: install openjdk-17-jdk-headless, or set JAVA17_HOME"
    fi
}

# --- the servers' settings ----------------------------------------------------

server_names() {
    local n
    echo kafka
    for ((n = 1; n <= NODES; n++)); do
        echo "cassandra$n"
    done
}

server_places() { # NAME: ADDRESS:PORT=WHAT, one a line
    case $1 in
    kafka)
        echo "127.0.0.1:$KITH_LOCAL_KAFKA_PORT=KITH_LOCAL_KAFKA_PORT"
        echo "127.0.0.1:$KITH_LOCAL_KAFKA_CONTROLLER_PORT=KITH_LOCAL_KAFKA_CONTROLLER_PORT"
        echo "127.0.0.1:$KITH_LOCAL_KAFKA_PROXIED_PORT=KITH_LOCAL_KAFKA_PROXIED_PORT"
        ;;
    cassandra*)
        echo "127.0.0.${1#cassandra}:$KITH_LOCAL_CQL_PORT=KITH_LOCAL_CQL_PORT"
        echo "127.0.0.${1#cassandra}:$KITH_LOCAL_STORAGE_PORT=KITH_LOCAL_STORAGE_PORT"
        ;;
    esac
}

configure_kafka() { # FOLDER
    local plain=PLAINTEXT inner=PLAINTEXT proxied=PROXIED protocols=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT proxy=$KITH_LOCAL_KAFKA_PROXY_PORT secured=''
    if [[ -n ${KITH_LOCAL_TLS:-} ]]; then
        # Passwords at the first listener, certificates of clients at the second, which no proxy stands before.
        plain=SASL_SSL inner=SSL proxied=SSL protocols=SASL_SSL:SASL_SSL,SSL:SSL proxy=$KITH_LOCAL_KAFKA_PROXIED_PORT
        secured="
ssl.keystore.type=PEM
ssl.keystore.location=$KITH_LOCAL_TLS/server.pem
ssl.truststore.type=PEM
ssl.truststore.location=$KITH_LOCAL_TLS/ca.pem
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.ssl.ssl.client.auth=required"
    fi
    write_file "$1/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$KITH_LOCAL_KAFKA_CONTROLLER_PORT
listeners=$plain://127.0.0.1:$KITH_LOCAL_KAFKA_PORT,$proxied://127.0.0.1:$KITH_LOCAL_KAFKA_PROXIED_PORT,CONTROLLER://127.0.0.1:$KITH_LOCAL_KAFKA_CONTROLLER_PORT
advertised.listeners=$plain://127.0.0.1:$KITH_LOCAL_KAFKA_PORT,$proxied://127.0.0.1:$proxy
listener.security.protocol.map=$protocols,CONTROLLER:PLAINTEXT
inter.broker.listener.name=$inner$secured
controller.listener.names=CONTROLLER
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=2097152
log.segment.bytes=67108864
log.dirs=$1/data
END
}

configure_cassandra() { # FOLDER N
    local folder=$1 n=$2 tokens=(0) sync=batch seeds='' advertised='' secured='' i
    ((NODES == 3)) && tokens=(-9223372036854775808 -3074457345618258603 3074457345618258602)
    [[ $KITH_LOCAL_COMMITLOG == periodic ]] && sync=$'periodic\ncommitlog_sync_period: 1000ms'
    [[ $KITH_LOCAL_CQL_PROXIED == true ]] && advertised=$'\n'"broadcast_rpc_address: 127.0.1.$n"
    [[ -z ${KITH_LOCAL_TLS:-} ]] || secured="
authenticator: PasswordAuthenticator
client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: $([[ -e $KITH_LOCAL_TLS/cql.clients ]] && echo true || echo false)
  keystore: $KITH_LOCAL_TLS/server.pem
  truststore: $KITH_LOCAL_TLS/ca.pem
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory"
    for ((i = 1; i <= NODES; i++)); do # every node is a seed: each can start while another is down
        seeds+=${seeds:+,}127.0.0.$i:$KITH_LOCAL_STORAGE_PORT
    done
    write_file "$folder/cassandra.yaml" <<END
cluster_name: kith-local
num_tokens: 1
initial_token: "${tokens[n - 1]}"
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "$seeds"
listen_address: 127.0.0.$n
rpc_address: 127.0.0.$n$advertised
storage_port: $KITH_LOCAL_STORAGE_PORT
native_transport_port: $KITH_LOCAL_CQL_PORT
start_native_transport: true
auto_bootstrap: false
auto_snapshot: false
data_file_directories:
  - $folder/data
commitlog_directory: $folder/commitlog
saved_caches_directory: $folder/saved_caches
hints_directory: $folder/hints
hinted_handoff_enabled: $KITH_LOCAL_HINTS
commitlog_sync: $sync
commitlog_segment_size: 8MiB
commitlog_total_space: 128MiB
memtable_heap_space: 64MiB
memtable_offheap_space: 64MiB
file_cache_size: 32MiB
networking_cache_size: 16MiB
key_cache_size: 4MiB
concurrent_reads: 32
concurrent_writes: 32
concurrent_compactors: 1
paxos_variant: v2
paxos_state_purging: repaired
storage_compatibility_mode: NONE$secured
END
    mkdir -p -- "$folder"/{data,commitlog,saved_caches,hints}
}

# --- processes ----------------------------------------------------------------

# On the command line of each server; by it a pid is known to be still that server.
server_tag() { printf -- '-Dkith.local=%s/%s' "$KITH_LOCAL_DIR" "$1"; }

server_pid() { # NAME: its pid, if it runs
    local pid
    { read -r pid <"$KITH_LOCAL_DIR/$1/pid"; } 2>/dev/null || return 1
    [[ $pid =~ ^[1-9][0-9]*$ ]] || return 1
    grep -qzxF -e "$(server_tag "$1")" "/proc/$pid/cmdline" 2>/dev/null || return 1
    printf '%s\n' "$pid"
}

server_state() { # NAME: running, frozen or stopped
    local pid
    if ! pid=$(server_pid "$1"); then
        echo stopped
    elif grep -q '^State:[[:space:]]*[Tt]' "/proc/$pid/status" 2>/dev/null; then
        echo frozen
    else
        echo running
    fi
}

launch() { # NAME COMMAND...: in its own session, without a terminal, with its own pid file and log
    local name=$1 folder=$KITH_LOCAL_DIR/$1 limit self
    shift
    (
        exec 7>&- 8>&- 9>&- # our locks end with us
        cd -- "$folder"
        limit=$(ulimit -H -n)
        [[ $limit == unlimited || $limit -gt 65536 ]] && limit=65536
        ulimit -S -n "$limit"
        self=$BASHPID # it stays the server's: each of these execs the next
        write_file "$folder/pid" <<<"$self"
        exec env -u JAVA_TOOL_OPTIONS -u _JAVA_OPTIONS -u JDK_JAVA_OPTIONS -u CLASSPATH \
            setsid nohup "$@" </dev/null >>"$folder/log" 2>&1
    ) &
}

log_tail() { tail -c "+$(($2 + 1))" -- "$1" | tail -n 30 >&2; } # FILE BYTES: the end of what came after them

start_server() { # NAME: and wait until it answers; ends the shell that calls it
    local name=$1 folder=$KITH_LOCAL_DIR/$1 lib began pid code=0 probe heap ring_delay logged=0 scram=()
    mkdir -p -- "$folder/tmp"
    exec 9>"$folder/lock"
    flock 9
    if server_pid "$name" >/dev/null; then
        say "$name: $(server_state "$name") already"
        exit 0
    fi
    began=$(now_ms)
    [[ ! -f $folder/log ]] || logged=$(stat -c %s -- "$folder/log")
    # The quick compiler only: with a few cores, servers that run for minutes spend more on the other one than it gives.
    local common=(
        "$(server_tag "$name")" -XX:TieredStopAtLevel=1 -Djava.io.tmpdir="$folder/tmp" -Djna.tmpdir="$folder/tmp"
        -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError -XX:+PerfDisableSharedMem -XX:ErrorFile="$folder/crash.log"
    )
    case $name in
    kafka)
        lib=$(jar_folder kafka)
        configure_kafka "$folder"
        if [[ ! -f $folder/data/meta.properties ]]; then
            [[ -z ${KITH_LOCAL_TLS:-} ]] ||
                scram=(--add-scram "SCRAM-SHA-512=[name=kith,password=$(cat "$KITH_LOCAL_TLS/kafka.password")]")
            "$java" -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+PerfDisableSharedMem \
                -Dlog4j2.configurationFile="file://$here/kafka/log4j2.xml" -cp "$lib/*" \
                kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c "$folder/server.properties" --ignore-formatted "${scram[@]}" \
                9>&- 8>&- </dev/null >>"$folder/log" 2>&1 || {
                say "kafka: could not format its folder; the end of $folder/log:"
                log_tail "$folder/log" "$logged"
                exit 1
            }
        fi
        launch kafka "$java" "${common[@]}" -Xms192m -Xmx320m \
            -Dlog4j2.configurationFile="file://$here/kafka/log4j2.xml" -cp "$lib/*" \
            kafka.Kafka "$folder/server.properties"
        probe=(kafka 127.0.0.1 "$KITH_LOCAL_KAFKA_PORT")
        # A certificate is less to talk about than a password.
        [[ -z ${KITH_LOCAL_TLS:-} ]] || probe=(kafka 127.0.0.1 "$KITH_LOCAL_KAFKA_PROXIED_PORT")
        ;;
    cassandra*)
        lib=$(jar_folder cassandra)
        heap=512m ring_delay=1
        ((NODES == 3)) && heap=384m ring_delay=500
        configure_cassandra "$folder" "${name#cassandra}"
        launch "$name" "$java" "@$here/cassandra/jvm17.args" -javaagent:"$lib/jamm-0.4.0.jar" "${common[@]}" \
            -Xms$heap -Xmx$heap -Xss256k -XX:MaxDirectMemorySize=256m \
            -Dcassandra.config="file://$folder/cassandra.yaml" -Dcassandra.storagedir="$folder" -Dcassandra.logdir="$folder" \
            -Dlogback.configurationFile="file://$here/cassandra/logback.xml" \
            -Dcassandra-foreground=yes -Dcassandra.libjemalloc=- -Djava.rmi.server.hostname="127.0.0.${name#cassandra}" \
            -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=$ring_delay \
            -Dcassandra.load_ring_state=false -Dcassandra.superuser_setup_delay_ms=0 -Dcassandra.shutdown_announce_in_ms=200 \
            -Dcassandra.auth_bcrypt_gensalt_log2_rounds=4 \
            -cp "$lib/*" org.apache.cassandra.service.CassandraDaemon
        probe=(cql "127.0.0.${name#cassandra}" "$KITH_LOCAL_CQL_PORT")
        ;;
    esac
    pid=$!
    python3 "$here/probe.py" "${probe[@]}" "$pid" "$KITH_LOCAL_READY_SECONDS" ${KITH_LOCAL_TLS:+"$KITH_LOCAL_TLS"} 7>&- 8>&- 9>&- || code=$?
    if ((code == 0)); then
        say "$name: ready after $(seconds_since "$began") s (pid $pid)"
        exit 0
    fi
    if ((code == 1)); then
        say "$name: ended while starting; the end of $folder/log:"
    else
        say "$name: no answer within $KITH_LOCAL_READY_SECONDS s; the end of $folder/log:"
    fi
    log_tail "$folder/log" "$logged"
    end_server "$name" TERM
    exit 1
}

end_server() { # NAME SIGNAL: and wait until it is gone
    local name=$1 signal=$2 pid tries
    if ! pid=$(server_pid "$name"); then
        rm -f -- "$KITH_LOCAL_DIR/$name/pid"
        return 0
    fi
    kill -s "$signal" "$pid" 2>/dev/null || true
    kill -s CONT "$pid" 2>/dev/null || true # a frozen one would not hear the other
    for ((tries = 0; tries < 400; tries++)); do
        server_pid "$name" >/dev/null || break
        if ((tries == 300)); then
            say "$name: still there after 30 s: killed"
            kill -s KILL "$pid" 2>/dev/null || true
        fi
        sleep 0.1
    done
    if server_pid "$name" >/dev/null; then
        say "$name: pid $pid does not end"
        return 1
    fi
    rm -f -- "$KITH_LOCAL_DIR/$name/pid"
}

stop_server() ( # NAME [SIGNAL]
    [[ -d $KITH_LOCAL_DIR/$1 ]] || exit 0
    exec 9>"$KITH_LOCAL_DIR/$1/lock"
    flock 9
    end_server "$1" "${2:-TERM}"
)

stop_servers() { # NAME...: all at once
    local name job jobs=() code=0
    for name in "$@"; do
        stop_server "$name" &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do
        wait "$job" || code=1
    done
    return $code
}
