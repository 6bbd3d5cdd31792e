# Sallyport in a container: the gateway, its console built, no development tools and no embedded ClickHouse
# (an image is meant to be used with a ClickHouse server; leave out "--omit=optional" lines below to embed it).
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
COPY tools ./tools
RUN npm ci --no-audit --no-fund --ignore-scripts
COPY . .
RUN node_modules/.bin/vite build web-terminal \
 && npm prune --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
RUN groupadd --system --gid 10001 sallyport && useradd --system --uid 10001 --gid sallyport sallyport \
 && mkdir -p /var/lib/sallyport /etc/sallyport && chown sallyport /var/lib/sallyport && chmod 0700 /var/lib/sallyport
WORKDIR /app
COPY --from=build --chown=root:root /app/package.json ./
COPY --from=build --chown=root:root /app/node_modules ./node_modules
COPY --from=build --chown=root:root /app/gateway ./gateway
COPY --from=build --chown=root:root /app/config ./config
COPY --from=build --chown=root:root /app/web-terminal/dist ./web-terminal/dist
USER sallyport
ENV SALLYPORT_DATA=/var/lib/sallyport
VOLUME /var/lib/sallyport
EXPOSE 2222 8443
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9464/ready').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "--disable-warning=ExperimentalWarning", "gateway/main.ts"]
CMD ["--config", "/etc/sallyport/sallyport.yaml"]
