# Two replicas under Nomad. (Its own service discovery: with provider =
# "consul", Consul runs the same checks.)
#
# The sum, in seconds: a drain's delay of 5 and 20 for what is in flight are less
# than kill_timeout, after which SIGKILL comes. Nomad's default is 5, and no
# client grants more than its own max_kill_timeout, 30 unless told.
job "app" {
  type = "service"

  update {
    # A new allocation counts when its checks pass, one at a time.
    health_check     = "checks"
    max_parallel     = 1
    min_healthy_time = "5s"
    healthy_deadline = "2m"
    auto_revert      = true
  }

  group "app" {
    count = 2

    network {
      port "http" { to = 3000 }
    }

    # Who gets traffic. Red from the first moment of a drain, so no
    # shutdown_delay is needed: that would wait once more, before the signal.
    service {
      name     = "app"
      provider = "nomad"
      port     = "http"

      check {
        name     = "readiness"
        type     = "http"
        path     = "/readyz"
        interval = "2s"
        timeout  = "1s"
      }
    }

    # Who is restarted: a service of its own, because check_restart must never
    # hear of readiness.
    service {
      name     = "app-liveness"
      provider = "nomad"
      port     = "http"

      check {
        name     = "liveness"
        type     = "http"
        path     = "/livez"
        interval = "10s"
        timeout  = "2s"

        check_restart {
          limit = 3
          grace = "60s"
        }
      }
    }

    task "app" {
      driver = "docker"

      config {
        image = "registry.example/app:1.0.0"
        ports = ["http"]
      }

      env {
        LISTEN         = "[::]:3000"
        DRAIN_SECONDS  = "5"
        FINISH_SECONDS = "20"
      }

      # Said, because most drivers send SIGINT (which drains too).
      kill_signal  = "SIGTERM"
      kill_timeout = "28s"

      resources {
        cpu    = 500
        memory = 128
      }
    }
  }
}
