module github.com/leftfold/leftfold/deploy/e2e

go 1.26.0

require (
	github.com/leftfold/leftfold/pkg v0.0.0
	github.com/leftfold/leftfold/services/broker v0.0.0
	github.com/leftfold/leftfold/services/command-api v0.0.0
	github.com/leftfold/leftfold/services/projector-role v0.0.0
	github.com/leftfold/leftfold/services/projector-user v0.0.0
	github.com/leftfold/leftfold/services/standalone v0.0.0
	github.com/leftfold/leftfold/services/streamer v0.0.0
)

replace (
	github.com/leftfold/leftfold/pkg => ../../pkg
	github.com/leftfold/leftfold/services/broker => ../../services/broker
	github.com/leftfold/leftfold/services/command-api => ../../services/command-api
	github.com/leftfold/leftfold/services/projector-role => ../../services/projector-role
	github.com/leftfold/leftfold/services/projector-user => ../../services/projector-user
	github.com/leftfold/leftfold/services/standalone => ../../services/standalone
	github.com/leftfold/leftfold/services/streamer => ../../services/streamer
)
