package process

// Version is which release this is; builds set it: -ldflags "-X github.com/leftfold/leftfold/pkg/process.Version=v1.2.3".
var Version = "dev"
