#!/bin/bash
# A SLURM cluster of one node, this machine: tests/cluster/slurm.sh start FOLDER; ... stop FOLDER.
# kill-node FOLDER ends slurmd as a failing machine does, start-node FOLDER starts it again.
# Needs root and Debian's slurm-wlm and munge. Its commands (srun, squeue, ...) find it by
# SLURM_CONF=FOLDER/slurm.conf; everything it writes is in FOLDER, which has to be a short path.
set -euo pipefail
action=$1
mkdir -p "$2"
folder=$(realpath "$2")
export SLURM_CONF=$folder/slurm.conf

end() {  # by a signal, the daemon whose process id is in a file
    [ -f "$2" ] || return 0
    local id
    id=$(cat "$2")
    kill -"$1" "$id" 2> /dev/null || true
    for _ in $(seq 100); do
        kill -0 "$id" 2> /dev/null || break
        sleep 0.1
    done
    rm -f "$2"
}

case $action in
start)
    mkdir -p "$folder"/{state,spool}
    dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 status=none
    chmod 600 "$folder/munge.key"
    cat > "$SLURM_CONF" <<CONF
ClusterName=one
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
SlurmdTimeout=15
KillWait=20
MinJobAge=300
SchedulerParameters=sched_interval=5,bf_interval=5,batch_sched_delay=1
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(getconf _NPROCESSORS_ONLN) RealMemory=4000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE
CONF
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
        --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" \
        --seed-file="$folder/munged.seed"
    slurmctld
    slurmd
    for _ in $(seq 60); do
        [ "$(sinfo -h -o %t 2> /dev/null)" = idle ] && exit 0
        sleep 0.5
    done
    echo "the node is not idle: see $folder/*.log" >&2
    exit 1
    ;;
kill-node) end KILL "$folder/slurmd.pid" ;;
start-node) slurmd ;;
stop)
    scancel --quiet --user=root 2> /dev/null && sleep 1 || true
    for daemon in slurmd slurmctld munged; do end TERM "$folder/$daemon.pid"; done
    ;;
esac
