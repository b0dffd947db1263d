import { expect } from 'chai'
import { CLI } from '../support/processes/cli.ts'
import { endServices, failingService, ownFolder, startService } from '../support/processes/service.ts'

const SERVE = [process.execPath, CLI, 'serve']

describe('tokenledger serve', () => {
  afterEach(endServices)

  it('is the service: it prints what a newcomer needs, listens, and stops in order at SIGTERM', async () => {
    const service = await startService({ JWT_SECRET: undefined, TOKEN_PEPPERS: undefined }, undefined, SERVE)
    const curls = service.output().match(/^curl /gm)
    expect(curls).to.have.length(2)
    expect((await fetch(`${service.url}/health/ready`)).status).to.equal(200)
    expect(await service.stop()).to.equal(0)
    expect(service.output()).to.contain('"msg":"stopping"').and.to.contain('"msg":"stopped"')
  })

  it('goes on when nobody reads what it writes', async () => {
    const service = await startService({}, undefined, SERVE)
    service.child.stdout?.destroy()
    service.child.stderr?.destroy()
    for (let n = 0; n < 3; n++) {
      expect((await fetch(`${service.url}/auth/verify`)).status).to.equal(401)
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
    expect(await service.stop()).to.equal(0)
  })

  it('takes wrong settings and arguments for wrong use, names them, and opens nothing', async () => {
    const folder = await ownFolder()
    const ended = await failingService({ PORT: 'none', LOG_LEVEL: 'loud' }, folder, SERVE)
    expect(ended.code).to.equal(2)
    expect(ended.stdout).to.equal('')
    expect(ended.stderr).to.contain('PORT').and.to.contain('LOG_LEVEL')
    expect((await failingService({}, folder, [...SERVE, 'now'])).code).to.equal(2)
  })

  it('ends with 1 where another process has the files', async () => {
    const first = await startService({}, undefined, SERVE)
    const { code, stderr } = await failingService({}, first.folder, SERVE)
    expect(code).to.equal(1)
    expect(stderr).to.contain('events.db')
  })
})
