module github.com/leftfold/leftfold/.ci/gotest

go 1.26.0
