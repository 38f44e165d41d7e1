version 1.2

task shout {
    input {
        File text
    }

    command <<<
        tr a-z A-Z < '~{text}' > shouted.txt
        echo said
    >>>

    output {
        File shouted = "shouted.txt"
        String said = read_string(stdout())
    }

    requirements {
        container: "tessera-test/bash:1"
        cpu: 1
        memory: "256 MiB"
    }
}

task count {
    input {
        Array[File] texts
    }

    command <<<
        cat ~{sep(" ", quote(texts))} | wc -l
    >>>

    output {
        Int lines = read_int(stdout())
    }

    requirements {
        container: "tessera-test/bash:1"
        memory: "256 MiB"
    }
}

workflow hello {
    input {
        Array[File] texts
    }

    scatter (text in texts) {
        call shout { text }
    }
    call count { texts = shout.shouted }

    output {
        Array[File] shouted = shout.shouted
        Int lines = count.lines
    }
}

task broken {
    command <<<
        echo 'cannot go on' >&2
        exit 3
    >>>

    requirements {
        container: "tessera-test/bash:1"
    }
}

task sleeps {
    command <<<
        sleep 600
    >>>

    requirements {
        container: "tessera-test/bash:1"
    }
}
