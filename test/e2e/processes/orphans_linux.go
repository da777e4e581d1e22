package processes

import "syscall"

// dieWithParent lets the kernel kill the process when its test process is killed.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
