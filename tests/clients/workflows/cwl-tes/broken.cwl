cwlVersion: v1.0
class: CommandLineTool
requirements:
  DockerRequirement: {dockerPull: "tessera-test/busybox:1"}
baseCommand: [sh, -c, "echo this cannot work >&2; exit 3"]
inputs: []
outputs: []
