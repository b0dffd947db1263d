import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { expect } from 'chai'
import { apiOf } from '../support/callers/api.ts'
import { sendMany } from '../support/callers/requests.ts'
import { endServices, MAIN, ownFolder } from '../support/processes/service.ts'
import { type Behind, type Heard, isThere, startBehind } from '../support/processes/stdout.ts'

/** These make some 1.4 MB of log, more than pipes and the service can hold. */
const REQUESTS = 5_500
const MOST_WAITING = 1024 * 1024 + 64 * 1024
/** In milliseconds. The contract says 3 s, but the machine that runs the tests may be busy. */
const IDLE_STOP_MS = 6_000

const metricOf = async (url: string, name: string): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(new RegExp(`^tokenledger_${name} (\\d+)$`, 'm').exec(text)?.[1])
}

async function use(service: Heard, amount: number): Promise<void> {
  const { token } = (await apiOf(service.url).create({ name: 'CI' })).body
  const headers = () => ({ 'x-api-token': token })
  const { statuses } = await sendMany(service.url, { path: '/auth/verify', amount, headers })
  expect([...statuses]).to.deep.equal([[200, amount]])
}

describe('standard output that takes no lines', () => {
  let service: Heard | undefined
  afterEach(async () => {
    await service?.end()
    service = undefined
    await endServices()
  })

  const all: Behind[] = [
    'a full disk',
    'a pipe nobody reads',
    'a pipe whose reader is gone',
    'a socket nobody reads',
    'nothing',
    'a disk that fills?',
    'a terminal that is stopped?',
  ]
  /** The outputs that can be read after all, later. */
  const heard = new Set<Behind>([
    'a pipe nobody reads',
    'a pipe whose reader is gone',
    'a socket nobody reads',
    'a disk that fills?',
  ])
  for (const behind of all) {
    if (!isThere(behind)) {
      it(`left out: ${behind} is not to be had on this machine`)
      continue
    }
    it(`stops nothing but the log: ${behind}`, async () => {
      service = await startBehind(behind)
      const { url } = service
      await use(service, REQUESTS)
      expect(await metricOf(url, 'log_waiting_bytes')).to.be.below(MOST_WAITING)
      const lost = await metricOf(url, 'log_lines_lost_total')
      if (behind === 'nothing') expect(lost).to.equal(0)
      else expect(lost).to.be.within(1, REQUESTS + 20)
      if (heard.has(behind)) await assertAllTold(service, behind)
      const { code, ms } = await service.stop()
      expect(code).to.equal(0)
      expect(ms).to.be.below(IDLE_STOP_MS)
    })
  }

  /** Each line is in the log, or the log counts it as lost. */
  async function assertAllTold(of: Heard, behind: Behind): Promise<void> {
    const log = await of.hear()
    const told = [...log.matchAll(/"lines":(\d+),"msg":"log lines lost/g)]
    const sum = told.reduce((n, [, lines]) => n + Number(lines), 0)
    expect(sum).to.equal(await metricOf(of.url, 'log_lines_lost_total'))
    if (behind !== 'a pipe whose reader is gone') {
      const lines = log.match(/"route":"\/auth\/verify".*"msg":"request"}$/gm)?.length ?? 0
      expect(lines + sum).to.be.within(REQUESTS, REQUESTS + 20)
    }
    const torn = log.split('\n').filter((line) => line !== '' && !isJson(line))
    expect(torn.length, 'lines cut in two').to.be.at.most(told.length)
  }

  it('does not hold up what a first start prints', async () => {
    const secrets = { JWT_SECRET: undefined, TOKEN_PEPPERS: undefined }
    service = await startBehind('a pipe nobody reads', secrets)
    expect((await fetch(`${service.url}/auth/verify`)).status).to.equal(401)
    expect(await service.hear()).to.contain('with development secrets')
  })

  it('does not hold up a start that fails', async () => {
    const full = openSync('/dev/full', 'w')
    const env = { PATH: process.env.PATH, PORT: 'none' }
    const cwd = await ownFolder()
    const child = spawn(process.execPath, [MAIN], { cwd, env, stdio: ['ignore', full, full] })
    closeSync(full)
    expect(await new Promise((resolve) => child.once('exit', resolve))).to.equal(1)
  })
})

function isJson(line: string): boolean {
  try {
    JSON.parse(line)
    return true
  } catch {
    return false
  }
}

describe('a log line', () => {
  it('is short, whatever an error repeats, and still one line of JSON', async () => {
    const module = MAIN.replace('main.js', 'adapters/telemetry/log.js')
    const text = `
      const { createLog } = await import(${JSON.stringify(module)})
      const { log } = createLog('info')
      log.error({ err: new Error('"\\u{1F511}'.repeat(20_000)), requestId: 'r' }, 'long')
      log.info({ text: 'x'.repeat(2_000) }, 'short')`
    const child = spawn(process.execPath, ['--input-type=module', '-e', text], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    await new Promise((resolve) => child.once('close', resolve))
    const [long = '', short = '', ...none] = output.split('\n')
    expect(none).to.deep.equal([''])
    expect(Buffer.byteLength(long)).to.be.below(12 * 1024)
    expect(JSON.parse(long)).to.include({ level: 50, msg: 'a log line was too long and is cut' })
    expect(JSON.parse(short)).to.include({ level: 30, msg: 'short', text: 'x'.repeat(2_000) })
  })
})

describe('requests without a good credential', () => {
  let service: Heard | undefined
  afterEach(async () => {
    await service?.end()
    await endServices()
  })

  it('have 60 lines a minute and address, the rest is summed up; those with one have each their own', async () => {
    service = await startBehind('a file')
    const { url } = service
    await use(service, 500)
    const bad = (n: number) => ({ 'x-api-token': `nobody-${n}` })
    await sendMany(url, { path: '/auth/verify', amount: 1_000, headers: bad })
    await sendMany(url, { path: '/nowhere', amount: 500 })
    const { code } = await service.stop()
    expect(code).to.equal(0)
    const lines = (await service.hear())
      .split('\n')
      .flatMap((line) => (line === '' ? [] : [JSON.parse(line)]))
    const of = (msg: string) => lines.filter((line) => line.msg === msg)
    expect(of('request').filter(({ kind }) => kind === 'token')).to.have.lengthOf(500)
    const refusals = of('credential refused')
    expect(
      refusals.every(({ address, reason }) => address === '127.0.0.1' && reason === 'malformed'),
    ).to.equal(true)
    const [summary] = of('refusals of one address in summary')
    expect(summary).to.deep.include({ from: '127.0.0.1', count: 940, reasons: { malformed: 940 } })
    expect(refusals).to.have.lengthOf(60)
    const strangers = of('request').filter(({ kind }) => kind === undefined)
    const [requests] = of('requests without a credential from one address in summary')
    expect(strangers.length).to.equal(60)
    // Health checks at the start are among them.
    expect(requests.count + strangers.length).to.be.within(1_500, 1_560)
    expect(requests.reasons).to.include({ 404: 500 })
    expect(lines.indexOf(requests)).to.be.below(lines.length - 1)
  })
})
