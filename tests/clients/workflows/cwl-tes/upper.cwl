cwlVersion: v1.0
class: CommandLineTool
requirements:
  DockerRequirement: {dockerPull: "tessera-test/busybox:1"}
baseCommand: [tr, a-z, A-Z]
stdin: $(inputs.words.path)
inputs:
  words: File
outputs:
  uppered: stdout
stdout: upper.txt
