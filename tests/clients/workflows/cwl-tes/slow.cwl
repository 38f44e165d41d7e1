cwlVersion: v1.0
class: CommandLineTool
requirements:
  DockerRequirement: {dockerPull: "tessera-test/busybox:1"}
baseCommand: [sh, -c, "sleep 600"]
inputs: []
outputs: []
