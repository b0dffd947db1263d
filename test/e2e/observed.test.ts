import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect } from 'chai'
import { outsideEnvironment } from '../support/project/package.ts'
import { freePort } from '../support/processes/ports.ts'
import { endServices, MAIN, ownFolder, startService } from '../support/processes/service.ts'
import { eventually } from '../support/suite/eventually.ts'
import { version } from '../../src/version.ts'

describe('A service that is watched', () => {
  afterEach(endServices)

  const probes = ['/health/live', '/health/ready', '/metrics']

  it('logs probes and scrapes at debug, and everything else at info', async () => {
    for (const [LOG_LEVEL, isLogged] of [
      ['info', false],
      ['debug', true],
    ] as const) {
      const service = await startService({ LOG_LEVEL })
      for (const path of [...probes, '/auth/verify']) await fetch(service.url + path)
      await eventually(async () => expect(service.output()).to.contain('"route":"/auth/verify"'))
      for (const path of probes)
        expect(service.output().includes(`"route":"${path}"`), `${LOG_LEVEL} ${path}`).to.equal(isLogged)
      await service.stop()
    }
  })

  it('shows its version, its process and its Node in the metrics', async () => {
    const service = await startService()
    const text = await (await fetch(`${service.url}/metrics`)).text()
    expect(text).to.contain(`tokenledger_build_info{version="${version}",node="${process.versions.node}"} 1`)
    expect(text)
      .to.match(/^process_resident_memory_bytes \d/m)
      .and.match(/^nodejs_eventloop_lag_seconds /m)
  })

  it('has its metrics on a port of their own where METRICS_PORT says so, and nothing else there', async () => {
    const port = await freePort()
    const service = await startService({ METRICS_PORT: String(port) })
    const own = `http://127.0.0.1:${port}`
    expect((await fetch(`${own}/metrics`)).status).to.equal(200)
    expect((await fetch(`${own}/auth/verify`)).status).to.equal(404)
    expect((await fetch(`${service.url}/metrics`)).status).to.equal(404)
    expect(service.output()).to.contain(`"metricsUrl":"${own}/metrics"`)
    expect(await service.stop()).to.equal(0)
  })

  it('names settings that look misspelt, without their values', async () => {
    const service = await startService({ USAGE_FLUSHMS: 'hush' })
    expect(service.output()).to.contain('USAGE_FLUSHMS is no setting: is USAGE_FLUSH_MS meant?')
    expect(service.output()).not.to.contain('hush')
  })

  it('writes its log for people where LOG_FORMAT says so', async () => {
    const service = spawn(process.execPath, [MAIN], {
      cwd: await ownFolder(),
      env: { ...outsideEnvironment(), PORT: '0', LOG_FORMAT: 'pretty' },
    })
    let output = ''
    service.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
    const ended = once(service, 'exit')
    await eventually(async () =>
      expect(output).to.match(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}listening {2}url=http:/m),
    )
    service.kill('SIGTERM')
    expect(await ended).to.deep.equal([0, null])
  })
})
