module github.com/leftfold/leftfold/.ci/release

go 1.26.0
