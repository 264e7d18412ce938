// Package proof holds the files of examples/deploy against the schemas that they are
// for, against the contract of apmws, against the chat and against each other. It has
// tests alone. No cluster is asked: what an autoscaler does with these files is not
// shown.
package proof
