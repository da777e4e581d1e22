package systemtest

import "syscall"

// dieWithParent lets the kernel kill a process whose test process was killed and could not clean up.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
