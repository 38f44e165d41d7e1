cwlVersion: v1.0
class: CommandLineTool
requirements:
  DockerRequirement: {dockerPull: "tessera-test/busybox:1"}
baseCommand: [wc, -l]
inputs:
  words: {type: File, inputBinding: {position: 1}}
outputs:
  counted: stdout
stdout: count.txt
