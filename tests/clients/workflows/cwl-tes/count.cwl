cwlVersion: v1.0
class: Workflow
inputs:
  words: File
outputs:
  counted:
    type: File
    outputSource: lines/counted
steps:
  upper:
    run: upper.cwl
    in: {words: words}
    out: [uppered]
  lines:
    run: lines.cwl
    in: {words: upper/uppered}
    out: [counted]
