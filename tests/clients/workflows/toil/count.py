import time

from toil.common import Toil
from toil.job import Job

SIZE = dict(cores=1, memory="256M", disk="256M")


def upper(job, words):
    with job.fileStore.readGlobalFileStream(words, encoding="utf-8") as source:
        text = source.read().upper()
    with job.fileStore.writeGlobalFileStream(encoding="utf-8") as (target, name):
        target.write(text)
    counted = job.addChildJobFn(count, name, **SIZE)
    return counted.rv()


def count(job, words):
    with job.fileStore.readGlobalFileStream(words, encoding="utf-8") as source:
        return len(source.readlines())


def broken(job, words):
    raise RuntimeError("this cannot work")


def slow(job, words):
    time.sleep(600)


if __name__ == "__main__":
    parser = Job.Runner.getDefaultArgumentParser()
    parser.add_argument("what", choices=["upper", "broken", "slow"])
    parser.add_argument("words", help="a file, by its absolute path")
    options = parser.parse_args()
    with Toil(options) as toil:
        words = toil.importFile("file://" + options.words)
        print("lines:", toil.start(Job.wrapJobFn(globals()[options.what], words, **SIZE)))
