import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { coresOf } from '../../../../scripts/cli/leaveACore.ts'

const status = (list: string): string =>
  `Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t${list}\nMems_allowed:\t1\n`

describe('leaving a core to others', () => {
  it('knows which cores there are', () => {
    expect(coresOf(status('0-3,8'))).to.deep.equal([0, 1, 2, 3, 8])
    expect(coresOf(status('5'))).to.deep.equal([5])
    expect(coresOf('Name:\tnode\n')).to.deep.equal([])
  })

  it('takes one from each thread of the process, also from those that it begins later', function () {
    if (process.platform !== 'linux' || spawnSync('taskset', ['-V']).error) this.skip()
    const mine = coresOf(readFileSync('/proc/self/status', 'utf8'))
    if (mine.length < 2) this.skip()
    const script = `
      import { readdirSync, readFileSync } from 'node:fs'
      import { Worker } from 'node:worker_threads'
      import { coresOf, leaveACore } from ${JSON.stringify(new URL('../../../../scripts/cli/leaveACore.js', import.meta.url).href)}
      leaveACore()
      new Worker('setTimeout(() => {}, 200)', { eval: true }).once('online', () => {
        const threads = readdirSync('/proc/self/task').map((id) => readFileSync('/proc/self/task/' + id + '/status', 'utf8'))
        console.log(JSON.stringify(threads.map(coresOf)))
      })`
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
    const threads: number[][] = JSON.parse(out)
    expect(threads.length).to.be.above(2)
    for (const cores of threads) expect(cores).to.deep.equal(mine.slice(1))
  })
})
