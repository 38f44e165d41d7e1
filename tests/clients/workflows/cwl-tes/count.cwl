cwlVersion: v1.0
class: Workflow
inputs:
  words: File
outputs:
  count:
    type: File
    outputSource: count/counted
steps:
  upper:
    run: upper.cwl
    in: {words: words}
    out: [uppered]
  count:
    run: lines.cwl
    in: {words: upper/uppered}
    out: [counted]
