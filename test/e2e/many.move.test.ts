import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { projections } from '../../projections/index.ts'
import { apiOf, type CreatedToken } from '../support/callers/api.ts'
import { cli } from '../support/processes/cli.ts'
import { eventually } from '../support/suite/eventually.ts'
import { describeWithMongod, type Mongod, startMongod } from '../support/stores/mongod.ts'
import {
  endServices,
  type Environment,
  ownFolder,
  type ServiceProcess,
  startService,
} from '../support/processes/service.ts'
import { type StandInProcess, startStandInProcess } from '../support/standIn/process.ts'

describeWithMongod('a service that moves from SQLite to servers and back', () => {
  let servers: { eventStore: StandInProcess; mongod: Mongod }
  let onServers: Environment
  let folder: string
  let tokens: CreatedToken[]

  before(async () => {
    const [eventStore, mongod] = await Promise.all([startStandInProcess(), startMongod({ set: 'rs0' })])
    servers = { eventStore, mongod }
    onServers = { EVENT_STORE_URL: eventStore.url, READ_MODEL_URL: mongod.url('moved') }
    folder = await ownFolder()
    const service = await startService({ USAGE_FLUSH_MS: '20' }, folder)
    const api = apiOf(service.url)
    tokens = []
    for (const name of ['CI', 'é 😀 "\\"', 'gone']) tokens.push((await api.create({ name })).body)
    for (const { token } of tokens) expect(await api.use(token)).to.equal(200)
    await api.revoke(tokens[2]!.id)
    await service.stop()
  })
  after(async () => {
    await endServices()
    await Promise.all([servers.eventStore.kill(), servers.mongod.stop()])
  })

  const bytesOf = (name: string): Promise<Buffer> => readFile(join(folder, name))
  const run = async (args: readonly string[], env: Environment = {}): Promise<string> => {
    const { code, stdout, stderr } = await cli(args, folder, env)
    expect(code, stderr).to.equal(0)
    return stdout
  }
  const uses = async ({ url }: ServiceProcess, id: string): Promise<number> =>
    (await apiOf(url).usage(id)).body.total.requests

  it('takes every event along, byte by byte', async () => {
    await run(['export', '--out', 'up.ndjson'])
    await run(['import', 'up.ndjson'], onServers)
    await run(['export', '--out', 'there.ndjson'], onServers)
    expect(await bytesOf('there.ndjson')).to.deep.equal(await bytesOf('up.ndjson'))
  })

  it('goes on there with its tokens, their history and their usage', async () => {
    const service = await startService({ USAGE_FLUSH_MS: '20', ...onServers }, folder)
    const api = apiOf(service.url)
    const [first, second, gone] = tokens as [CreatedToken, CreatedToken, CreatedToken]
    expect(await Promise.all([first, second, gone].map(({ token }) => api.use(token)))).to.deep.equal([
      200, 200, 401,
    ])
    expect((await api.patch(first.id, { name: 'CI deploy' })).body).to.include({ revision: 1 })
    await eventually(async () => expect(await uses(service, first.id)).to.equal(2))
    expect((await api.events(gone.id)).body.data.map(({ type }) => type)).to.deep.equal([
      'TokenCreated',
      'TokenRevoked',
    ])
    await service.stop()
  })

  it('is read there by the command line', async () => {
    const { id } = tokens[0]!
    expect(await run(['history', id], onServers)).to.contain('CI deploy')
    const usage = JSON.parse(await run(['usage', '--token', id, '--json'], onServers))
    expect(JSON.stringify(usage)).to.contain('"requests":2')
    const { checks, ok } = JSON.parse(await run(['doctor', '--json'], onServers))
    expect(ok).to.equal(true)
    const levels = checks.filter(({ name }: { name: string }) => name.startsWith('projection'))
    expect(levels.map(({ status }: { status: string }) => status)).to.deep.equal(projections.map(() => 'ok'))
    expect(checks.map(({ name }: { name: string }) => name)).not.to.include('disk sync')
  })

  it('comes back with what happened there', async () => {
    const env = { EVENT_STORE_URL: 'sqlite:./back/events.db', READ_MODEL_URL: 'sqlite:./back/model.db' }
    await run(['export', '--out', 'down.ndjson'], onServers)
    await run(['import', 'down.ndjson'], env)
    await run(['export', '--out', 'back.ndjson'], env)
    expect(await bytesOf('back.ndjson')).to.deep.equal(await bytesOf('down.ndjson'))
    const service = await startService(env, folder)
    expect(await apiOf(service.url).use(tokens[0]!.token)).to.equal(200)
    expect(await uses(service, tokens[1]!.id)).to.equal(2)
    await service.stop()
  })

  it('does not take the read model of one event store for that of another', async () => {
    const mixed = { EVENT_STORE_URL: 'sqlite:./back/events.db', READ_MODEL_URL: onServers.READ_MODEL_URL }
    const error = await startService(mixed, folder).catch((reason: unknown) => reason)
    expect(String(error)).to.contain('filled from another event store')
  })
})
