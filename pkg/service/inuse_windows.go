package service

import "syscall"

const (
	// errPortInUse is WSAEADDRINUSE, which syscall.EADDRINUSE is not:
	// https://learn.microsoft.com/windows/win32/winsock/windows-sockets-error-codes-2
	errPortInUse = syscall.Errno(10048)
	whoHasPort   = "netstat -ano | findstr :"
)
