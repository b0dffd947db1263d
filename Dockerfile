FROM node:24.20.0-trixie-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The package's own `prepare` would build, and there is nothing to build yet.
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY projections projections
COPY scripts scripts
COPY src src
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM node:24.20.0-trixie-slim
ENV NODE_ENV=production HOST=0.0.0.0
WORKDIR /app
# For SQLite files: mount a volume here, or they go with the container.
RUN install -d -o node -g node data
COPY package.json LICENSE ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist/projections dist/projections
COPY --from=build /app/dist/scripts dist/scripts
COPY --from=build /app/dist/src dist/src
COPY --from=build /app/dist/viewer dist/viewer
# The user `node`, by number: Kubernetes' runAsNonRoot cannot judge a name.
USER 1000:1000
EXPOSE 3000
STOPSIGNAL SIGTERM
# Alive, not ready: what restarts unhealthy containers (Swarm does) must not restart all of them because a store is
# down, and with them lose the uses that wait for it. The long start is for a read model that is built anew.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m --start-interval=1s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.PORT || 3000) + '/health/live').then(({ ok }) => process.exit(ok ? 0 : 1))"]
CMD ["node", "dist/src/main.js"]
