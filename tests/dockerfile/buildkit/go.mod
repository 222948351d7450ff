module parsed

go 1.25

require github.com/moby/buildkit v0.33.1
