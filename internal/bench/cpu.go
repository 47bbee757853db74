package bench

import (
	"fmt"

	"github.com/prometheus/procfs"
)

// parentOf returns the id of a process's parent.
func parentOf(pid int) (int, error) {
	stat, err := statOf(pid)
	return stat.PPID, err
}

func statOf(pid int) (stat procfs.ProcStat, err error) {
	p, err := procfs.NewProc(pid)
	if err == nil {
		stat, err = p.Stat()
	}
	if err != nil {
		return stat, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
	}
	return stat, nil
}

// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on (procfs assumes the same).
const ticksPerSecond = 100

// cpuOf returns the CPU seconds of a process.
func cpuOf(pid int) (float64, error) {
	stat, err := statOf(pid)
	return stat.CPUTime(), err
}

// cpuOfTree returns the CPU seconds of a process, of its children, and of those children that have ended.
func cpuOfTree(pid int) (float64, error) {
	root, err := statOf(pid)
	if err != nil {
		return 0, err
	}
	sum := root.CPUTime() + float64(root.CUTime+root.CSTime)/ticksPerSecond

	all, err := procfs.AllProcs()
	if err != nil {
		return 0, fmt.Errorf("listing processes: %w", err)
	}
	for _, p := range all {
		// One that ended in this moment is counted with the next look.
		if stat, err := p.Stat(); err == nil && stat.PPID == pid {
			sum += stat.CPUTime()
		}
	}
	return sum, nil
}
